package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/ambient-code/git-credential-acp/internal/access"
	"github.com/ambient-code/git-credential-acp/internal/check"
	"github.com/ambient-code/git-credential-acp/internal/credential"
	"github.com/ambient-code/git-credential-acp/internal/gitconfig"
	"github.com/ambient-code/git-credential-acp/internal/helper"
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/message"
	"github.com/ambient-code/git-credential-acp/internal/setup"
	"github.com/ambient-code/git-credential-acp/internal/source"
)

// setupRun is one run of setup: what the flags say, and how it went so far.
type setupRun struct {
	d                     *deps
	system, global, local bool
	print, remove, closed bool
	identity              bool
	form, program         string
	// sshPort is 0 when ssh addresses are left alone.
	sshPort int
	// target is the URL of a group or project, "" for none, and level the word for
	// --min-access, "" for none.
	target check.Target
	level  string
	// git is nil when there is no git program.
	git *gitconfig.Git
	// code is the worst that happened.
	code int
}

// Forms of --env.
const (
	formShell      = "shell"
	formKubernetes = "kubernetes"
	formRegistry   = "registry"
)

func setupCommand(d *deps) *cobra.Command {
	run := &setupRun{d: d}
	cmd := &cobra.Command{
		Use: "setup [URL]", SuggestFor: []string{"configure", "config", "init"},
		Short: "Configure git to use this helper, or print the configuration",
		Long: `setup configures git to use this helper for the user's GitLab instance: that of
--instance, else those for which a token is found, else ACP_GITLAB_INSTANCE_URL.
It writes a file next to git's configuration and includes it. Helpers for other
hosts are not changed. --remove removes exactly what was written.

The helper then refuses http:// URLs of the instance. --min-access LEVEL URL sets
the minimum access level for a group or project: reporter to fetch only, none for
internal and public projects.

--closed also keeps git from asking any other helper, for all hosts: the platform's
own script answers for every host with "gitlab" in its name. It then asks that
script for github.com only.

--print and --env write nothing and need no git program. git reads --env last.`,
		Example: `  git-credential-acp setup
  git-credential-acp setup --rewrite-ssh --identity
  eval "$(git-credential-acp setup --env)"
  git-credential-acp setup --env=kubernetes --instance https://gitlab.example.com
  git-credential-acp setup --env=registry --closed --instance https://gitlab.example.com
  git-credential-acp setup --min-access reporter https://gitlab.example.com/docs
  git-credential-acp setup --remove`,
		Args: run.arguments,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := run.check(cmd, args); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return run.do(ctx)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&run.global, "global", false, "write to the user's configuration (the default)")
	flags.BoolVar(&run.system, "system", false, "write to the system's configuration")
	flags.BoolVar(&run.local, "local", false, "write to the current repository's configuration")
	flags.BoolVar(&run.print, "print", false, "print the configuration as a file")
	flags.StringVar(&run.form, "env", "", "print the configuration as environment variables (git 2.31 and newer), in the `form` shell, kubernetes (a YAML list) or registry (container.env of the platform's agent registry, in JSON)")
	flags.Lookup("env").NoOptDefVal = formShell
	flags.BoolVar(&run.closed, "closed", false, "have git ask no other helper for any host, but the platform's script for github.com")
	flags.BoolVar(&run.remove, "remove", false, "remove what setup wrote")
	flags.IntVar(&run.sshPort, "rewrite-ssh", 0, "use https for the instance's ssh addresses too; `port` is the one in them, if any")
	flags.Lookup("rewrite-ssh").NoOptDefVal = "22"
	flags.BoolVar(&run.identity, "identity", false, "set user.name and user.email, if unset, from the GitLab profile")
	flags.StringVar(&run.program, "helper", "", "`path` of this program, if it is not on the PATH")
	cmd.MarkFlagsMutuallyExclusive("global", "system", "local", "print", "env")
	takesMinAccess(d, cmd)
	cmd.MarkFlagsMutuallyExclusive("remove", flagMinAccess)
	cmd.MarkFlagsMutuallyExclusive("remove", "print")
	cmd.MarkFlagsMutuallyExclusive("remove", "env")
	complete(cmd, "env", words(formShell, formKubernetes, formRegistry))
	complete(cmd, "helper", aFile)
	complete(cmd, "rewrite-ssh", cobra.NoFileCompletions)
	return cmd
}

// arguments is about the arguments besides flags: a URL, where it has a meaning.
func (r *setupRun) arguments(cmd *cobra.Command, args []string) error {
	changed := cmd.Flags().Changed
	switch {
	case len(args) > 0 && !strings.Contains(args[0], "://") && (changed("env") || changed("rewrite-ssh")):
		// What can be left out has to stand close to its flag.
		return misused(r.d, "--env", "and --rewrite-ssh take a value after an equals sign only, as in --env=kubernetes")
	case len(args) == 1 && !r.remove && r.d.flags.minAccess == nil && strings.Contains(args[0], "://"):
		return errors.New("setup takes a URL only with --min-access or --remove; --instance names the instance")
	case len(args) == 1 && (r.remove || r.d.flags.minAccess != nil):
		return nil
	}
	return alone(cmd, args)
}

// check is about values that the command line can't have.
func (r *setupRun) check(cmd *cobra.Command, args []string) error {
	changed := cmd.Flags().Changed
	if r.d.flags.minAccess != nil {
		level, err := access.ParseLevel(*r.d.flags.minAccess)
		if err != nil {
			return misused(r.d, "--"+flagMinAccess, "is "+err.Error())
		}
		r.level = access.LevelWord(level)
	}
	if len(args) > 0 {
		var problem error
		if r.target, problem = check.ParseTarget(args[0]); problem != nil {
			r.d.say.tell(problem, asIs)
			return exitError(exitUsage)
		}
	}
	if forms := []string{formShell, formKubernetes, formRegistry}; changed("env") && !slices.Contains(forms, r.form) {
		return misused(r.d, "--env", "takes "+formShell+", "+formKubernetes+" or "+formRegistry)
	}
	if changed("rewrite-ssh") && (r.sshPort < 1 || r.sshPort > 65535) {
		return misused(r.d, "--rewrite-ssh", "takes a port from 1 to 65535")
	}
	if changed("helper") {
		if _, err := setup.AbsoluteProgram(r.program); err != nil {
			return misused(r.d, "--helper", err.Error())
		}
	}
	return nil
}

// misused ends the command over a flag.
func misused(d *deps, flag, why string) error {
	d.say.tell(errFlagInvalid(flag, why), asIs)
	return exitError(exitUsage)
}

// fail tells a problem, and keeps the worst exit code.
func (r *setupRun) fail(m error, redact func(string) string) {
	r.d.say.tell(m, redact)
	code := exitRefused
	switch {
	case message.Unverified(m):
		code = exitUnverified
	case message.As(m).Topic == message.Usage:
		code = exitUsage
	}
	r.code = max(r.code, code)
}

// done ends the command with what happened.
func (r *setupRun) done() error {
	if r.code != exitGood {
		return exitError(r.code)
	}
	return nil
}

func (r *setupRun) stop(m error) error {
	r.fail(m, asIs)
	return r.done()
}

func (r *setupRun) do(ctx context.Context) error {
	if git := gitProgram(r.d); git.Program != "" {
		r.git = &git
	}
	if r.remove {
		return r.takeOut(ctx)
	}
	instances, err := r.instances(ctx)
	if err != nil {
		return err
	}
	sections, problem := r.sections(instances)
	if problem != nil {
		return r.stop(problem)
	}
	if r.closed {
		sections = append(setup.Closed(r.platformHelper()), sections...)
	}
	switch {
	case r.print:
		sections = append(sections, r.who(ctx, instances)...)
		return r.output(setup.File(sections))
	case r.elsewhere():
		sections = append(sections, r.who(ctx, instances)...)
		if r.form == formKubernetes {
			return r.output(setup.Kubernetes(sections))
		}
		if !r.closed {
			r.d.say.tell(noteRegistryOpen(), asIs)
		}
		return r.output(setup.Registry(sections))
	case r.form == formShell:
		pairs, problem := r.d.config.GitPairs()
		if problem != nil {
			return r.stop(problem)
		}
		r.warn(ctx)
		sections = append(sections, r.who(ctx, instances)...)
		if len(pairs) > 0 {
			r.d.say.tell(noteEnvironmentContinued(len(pairs)), asIs)
		}
		if r.closed {
			r.d.say.tell(noteClosed(r.dropped(sections), ""), asIs)
		}
		return r.output(setup.Shell(sections, pairs))
	}
	return r.write(ctx, instances, sections)
}

// output prints a result on its own.
func (r *setupRun) output(text string) error {
	if _, err := io.WriteString(r.d.env.Stdout, text); err != nil {
		return exitError(exitRefused)
	}
	return r.done()
}

// instances are those to set up. What is wrong with others is told, and does not
// stand in their way.
func (r *setupRun) instances(ctx context.Context) ([]instance.Instance, error) {
	if r.d.flags.instance != nil {
		i, problem := knownInstance(r.d)
		if problem != nil {
			r.d.say.tell(problem, asIs)
			return nil, exitError(exitUsage)
		}
		return []instance.Instance{*i}, nil
	}
	found, looked, problem := newLookup(r.d).Find(ctx, credential.Request{})
	if problem != nil {
		return nil, r.stop(problem)
	}
	var list []instance.Instance
	for _, place := range found {
		switch {
		case place.Instance == instance.Instance{}:
			r.fail(place.Problem, asIs)
		case !slices.Contains(list, place.Instance):
			list = append(list, place.Instance)
		}
	}
	if len(list) > 0 && found[0].ByDefault {
		return nil, r.stop(errInstanceDefault(found[0].Where))
	}
	if len(list) == 0 {
		i, problem := knownInstance(r.d)
		switch {
		case problem != nil:
			return nil, r.stop(problem)
		case i != nil:
			list = append(list, *i)
		case len(found) == 0:
			return nil, r.stop(errInstanceUnknown(looked))
		default:
			return nil, r.done()
		}
	}
	// One that lies below another has to reset the other's helper, not the other
	// way round: it comes later.
	slices.SortFunc(list, func(a, b instance.Instance) int { return strings.Compare(a.URL(), b.URL()) })
	return list, nil
}

// part is what the URL on the command line is, below the one of the instances that
// it lies below: that instance and, unless it is the instance's own, the URL of a
// group or project.
func (r *setupRun) part(instances []instance.Instance) (i instance.Instance, url string, problem error) {
	request := r.target.Request
	var names []string
	for _, other := range instances {
		switch match := other.Match(request.Protocol, request.Host, request.Path); {
		case match == instance.Downgraded:
			return i, "", message.URLIsHTTP(other.URL())
		case match == instance.Ours && len(other.URL()) > len(i.URL()):
			i = other
		}
		names = append(names, other.String())
	}
	if i == (instance.Instance{}) {
		return i, "", message.URLForeign(request.Host, names)
	}
	path, err := i.Project(request.Path)
	if err != nil {
		return i, "", message.URLInvalid("has a path that " + err.Error())
	}
	if path == "" { // a group at the top, or none
		own := strings.TrimPrefix(i.URL(), i.Origin())
		path = strings.Trim(strings.TrimPrefix("/"+request.Path, own), "/")
	}
	if path == "" {
		return i, "", nil
	}
	return i, i.URL() + "/" + path, nil
}

// sections are what git's configuration is to say of instances, and of the URL on
// the command line.
func (r *setupRun) sections(instances []instance.Instance) ([]setup.Section, error) {
	program := setup.Program
	if r.program != "" {
		program, _ = setup.AbsoluteProgram(r.program) // checked before
	}
	level, below := r.level, ""
	if r.target.Request.Host != "" {
		only, url, problem := r.part(instances)
		if problem != nil {
			return nil, problem
		}
		instances = []instance.Instance{only}
		if below = url; below != "" {
			level = ""
		}
	}
	var sections []setup.Section
	for _, i := range instances {
		sections = append(sections, setup.HelperAt(i, i.URL(), program, level))
		if refusing, wanted := setup.PlainHTTP(i, program); wanted {
			sections = append(sections, refusing)
		}
		if below != "" {
			sections = append(sections, setup.HelpersBelow(i, below, program, r.level)...)
		}
	}
	if r.sshPort == 0 {
		return sections, nil
	}
	hosts := map[string]instance.Instance{}
	for _, i := range instances {
		if other, twice := hosts[i.Hostname()]; twice {
			return nil, errSSHAmbiguous(other.String(), i.String())
		}
		hosts[i.Hostname()] = i
		sections = append(sections, setup.Rewrite(i, r.sshPort))
	}
	return sections, nil
}

// scope is the file to write to, and where it is by git's rules (git-config(1),
// FILES); "" for the repository's, which git finds itself.
func (r *setupRun) scope(ctx context.Context) (setup.Scope, string) {
	switch {
	case r.local:
		return setup.Local, ""
	case r.system:
		return setup.System, r.systemConfig(ctx)
	}
	// git writes to the last of the user's files that there is, and to the last
	// if there is none.
	files := globalConfig(r.d, r.d.config.Home.Value)
	for _, file := range slices.Backward(files) {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			return setup.Global, file
		}
	}
	if len(files) == 0 {
		return setup.Global, "" // git says that it has no home
	}
	return setup.Global, files[len(files)-1]
}

// systemConfig is /etc/gitconfig, or etc/gitconfig below where git is installed
// when that is not /usr (git's Makefile, sysconfdir).
func (r *setupRun) systemConfig(ctx context.Context) string {
	if named := r.d.config.GitSystem.Value; named != "" {
		return named
	}
	if r.git == nil {
		return "/etc/gitconfig"
	}
	own, err := r.git.Expand(ctx, "%(prefix)/etc/gitconfig")
	if _, missing := os.Stat(own); err == nil && !errors.Is(missing, fs.ErrNotExist) && own != "/usr/etc/gitconfig" {
		return own
	}
	return "/etc/gitconfig"
}

// open finds the file to write to.
func (r *setupRun) open(ctx context.Context) (*setup.Config, error) {
	if r.git == nil {
		return nil, errGitMissing()
	}
	scope, path := r.scope(ctx)
	if scope == setup.Global && !filepath.IsAbs(path) {
		return nil, errHomeMissing()
	}
	return setup.Open(ctx, *r.git, scope, path)
}

// write writes what is not there yet. The helper comes first: it is set up
// although nobody can say who makes the commits.
func (r *setupRun) write(ctx context.Context, instances []instance.Instance, sections []setup.Section) error {
	config, problem := r.open(ctx)
	if problem != nil {
		return r.stop(problem)
	}
	found := r.warn(ctx)
	dropped := r.dropped(sections)
	changed, problem := config.Write(ctx, sections)
	if problem != nil {
		return r.stop(problem)
	}
	if r.closed {
		scope, _ := r.scope(ctx)
		r.d.say.tell(noteClosed(dropped, scope), asIs)
	}
	who := r.who(ctx, instances)
	if _, problem = config.Write(ctx, who); problem != nil {
		return r.stop(problem)
	}
	for _, s := range who {
		r.d.say.tell(noteIdentitySet(s.Keys()), asIs)
	}
	everywhere := gitProgram(r.d).Read(ctx, gitCommand(r.d))
	var asked, rewritten []string
	for _, s := range sections {
		switch {
		case s.Refuses() || s.Closes():
		case !s.IsHelper():
			if !r.rewrittenElse(everywhere, s) {
				rewritten = append(rewritten, strings.TrimSuffix(s.Sub, "/"))
			}
		case !r.overruled(everywhere, s, config.Path()) && !r.diverted(everywhere, s.Sub):
			asked = append(asked, s.Sub)
		}
	}
	if len(rewritten) > 0 {
		r.d.say.tell(noteRewritten(rewritten), asIs)
	}
	if r.closed {
		r.stillOpen(everywhere)
	}
	switch {
	case len(asked) == 0:
	case !found:
		r.d.say.tell(noteSetUpAhead(asked, config.Path()), asIs)
	case !changed && len(who) == 0:
		r.d.say.tell(noteSetUpBefore(asked, config.Path()), asIs)
	default:
		r.d.say.tell(noteSetUp(asked, config.Path()), asIs)
	}
	return r.done()
}

// overruled tells where something else in git's configuration keeps git from asking
// the helper that was written to path.
func (r *setupRun) overruled(config gitconfig.Config, s setup.Section, path string) bool {
	first, overruled := setup.Overruled(config, s)
	if !overruled {
		return false
	}
	name, origin := "", ""
	if first != nil {
		name, origin = first.Name(), first.Origin
	}
	r.d.say.tell(warnSetUpInVain(s.Sub, path, name, origin), asIs)
	return true
}

// diverted tells of a rule by which git does not go to an instance at all, and
// reports whether that is so for more than pushes.
func (r *setupRun) diverted(config gitconfig.Config, url string) bool {
	for _, push := range []bool{false, true} {
		if by, diverted := config.Diverted(url+"/", push); diverted {
			r.d.say.tell(message.Elsewhere(url, by.Name(), message.Quote(by.Origin)), asIs)
			return !push
		}
	}
	return false
}

// rewrittenElse tells of another rule that counts for the ssh addresses of a
// section, and reports whether git does with one what the section does not say.
func (r *setupRun) rewrittenElse(config gitconfig.Config, s setup.Section) bool {
	for _, line := range s.Lines {
		to, by, found := config.Rewritten(line.Value, false)
		if found && to != s.Sub {
			r.d.say.tell(message.Elsewhere(line.Value, by.Name(), message.Quote(by.Origin)), asIs)
		}
		if to != s.Sub {
			return true
		}
	}
	return false
}

// takeOut takes out what was written. It asks for no token and no network.
func (r *setupRun) takeOut(ctx context.Context) error {
	var only setup.Part
	if r.d.flags.instance != nil {
		i, problem := knownInstance(r.d)
		if problem != nil {
			r.d.say.tell(problem, asIs)
			return exitError(exitUsage)
		}
		only.Instance = i.URL()
	}
	if at := r.target.Request; at.Host != "" {
		only.URL = strings.TrimSuffix(at.Protocol+"://"+at.Host+"/"+at.Path, ".git")
	}
	config, problem := r.open(ctx)
	if problem != nil {
		return r.stop(problem)
	}
	removed, problem := config.Remove(ctx, only)
	switch {
	case problem != nil:
		return r.stop(problem)
	case len(removed) == 0:
		r.d.say.tell(noteNothingToRemove(config.Path(), cmp.Or(only.URL, only.Instance)), asIs)
		return nil
	}
	var names []string
	for _, s := range removed {
		if !s.Refuses() && !s.Reserves() { // they belong to others
			names = append(names, s.String())
		}
	}
	r.d.say.tell(noteRemoved(names, config.Path()), asIs)
	return nil
}

// warn warns when git won't find the helper here, and reports whether it will.
func (r *setupRun) warn(ctx context.Context) bool {
	path := r.d.config.Path.Value
	var found bool
	switch {
	case r.program != "":
		found = gitconfig.Find(filepath.Base(r.program), filepath.Dir(r.program)) != ""
	case r.git == nil:
		found = gitconfig.Find(Name, path) != ""
	default:
		found = setup.Finds(ctx, *r.git, path)
	}
	if !found {
		r.d.say.tell(warnHelperNotFound(r.program), asIs)
	}
	return found
}

// who is the section for the identity, if it is wanted and not known to git. A
// trouble with it is told, and does not stand in the way of the rest.
func (r *setupRun) who(ctx context.Context, instances []instance.Instance) []setup.Section {
	if !r.identity {
		return nil
	}
	unset, problem := r.unset(ctx)
	if problem != nil {
		r.fail(problem, asIs)
		return nil
	}
	if len(unset) == 0 {
		r.d.say.tell(noteIdentityKept(), asIs)
		return nil
	}
	found, problem := r.tokenFor(ctx, instances)
	if problem != nil {
		r.fail(problem, asIs)
		return nil
	}
	user, problem := r.profile(ctx, *found)
	if problem != nil {
		r.fail(problem, found.Token.Redact)
		return nil
	}
	section, err := setup.Identity(user.Name, user.Email, unset)
	if err != nil {
		r.fail(errIdentityUnusable(found.Instance.String()), found.Token.Redact)
		return nil
	}
	return []setup.Section{section}
}

// unset are the keys of an identity that git does not know here, and that are
// not in the file to write to. Another container's git can't be asked.
func (r *setupRun) unset(ctx context.Context) ([]string, error) {
	var unset []string
	for _, key := range setup.IdentityKeys() {
		flags := [][]string{nil}
		switch scope, _ := r.scope(ctx); {
		case r.git == nil || r.elsewhere():
			flags = nil
		case !r.print && r.form == "":
			flags = append(flags, []string{string(scope), "--includes"})
		}
		known := false
		for _, flag := range flags {
			there, problem := setup.Knows(ctx, *r.git, key, flag...)
			if problem != nil {
				return nil, problem
			}
			known = known || there
		}
		if !known {
			unset = append(unset, key)
		}
	}
	return unset, nil
}

// tokenFor is where the token for the only instance comes from, as get finds it.
func (r *setupRun) tokenFor(ctx context.Context, instances []instance.Instance) (*source.Found, error) {
	if len(instances) > 1 {
		return nil, errIdentityAmbiguous()
	}
	found, looked, problem := newLookup(r.d).Find(ctx, credential.Request{})
	if problem != nil {
		return nil, problem
	}
	for n, place := range found {
		if place.Instance == instances[0] {
			return &found[n], place.Problem
		}
	}
	if len(found) > 0 {
		p := found[0]
		return nil, message.OtherInstance(instances[0].String(), p.Instance.String(), p.Where, p.Belongs)
	}
	return nil, message.NotConnected(instances[0].String(), looked, newLookup(r.d).Connect())
}

// profile asks GitLab whose the token is.
func (r *setupRun) profile(ctx context.Context, found source.Found) (access.User, error) {
	ctx, stop, limit, problem := timeLimit(r.d).Start(ctx)
	if problem != nil {
		return access.User{}, problem
	}
	defer stop()
	question := helper.Question{Found: found}
	client, problem := newClients(r.d).Connect(question, limit, nil)
	if problem != nil {
		return access.User{}, problem
	}
	defer client.Close()
	user := client.User(ctx)
	if verdict := access.JudgeUser(user); verdict.Outcome != access.Granted {
		if verdict.Reason == access.Timeout {
			verdict.Detail = limit.String()
		}
		return user, message.Explain(verdict, helper.SubjectOf(question))
	}
	return user, nil
}
