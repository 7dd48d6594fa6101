package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
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
	"github.com/ambient-code/git-credential-acp/internal/instance"
	"github.com/ambient-code/git-credential-acp/internal/setup"
)

// setupRun is one run of setup: what the flags say, and how it went so far.
type setupRun struct {
	d                     *deps
	system, global, local bool
	scope                 setup.Scope
	print, remove, closed bool
	identity              bool
	form, program, proxy  string
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
  git-credential-acp setup --proxy http://127.0.0.1:8466 --instance https://gitlab.example.com
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
	run.flags(cmd)
	return cmd
}

// flags declares the flags.
func (r *setupRun) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&r.global, "global", false, "write to the user's configuration (the default)")
	flags.BoolVar(&r.system, "system", false, "write to the system's configuration")
	flags.BoolVar(&r.local, "local", false, "write to the current repository's configuration")
	flags.BoolVar(&r.print, "print", false, "print the configuration as a file")
	flags.StringVar(&r.form, "env", "", "print the configuration as environment variables (git 2.31 and newer), in the `form` shell, kubernetes (a YAML list) or registry (container.env of the platform's agent registry, in JSON)")
	flags.Lookup("env").NoOptDefVal = formShell
	flags.BoolVar(&r.closed, "closed", false, "have git ask no other helper for any host, but the platform's script for github.com")
	flags.BoolVar(&r.remove, "remove", false, "remove what setup wrote")
	flags.IntVar(&r.sshPort, "rewrite-ssh", 0, "use https for the instance's ssh addresses too; `port` is the one in them, if any")
	flags.Lookup("rewrite-ssh").NoOptDefVal = "22"
	flags.BoolVar(&r.identity, "identity", false, "set user.name and user.email, if unset, from the GitLab profile")
	flags.StringVar(&r.program, "helper", "", "`path` of this program, if it is not on the PATH")
	flags.StringVar(&r.proxy, "proxy", "", "`URL` of git-credential-acp serve: have git use it for the instance, and no helper")
	cmd.MarkFlagsMutuallyExclusive("global", "system", "local", "print", "env")
	takesMinAccess(r.d, cmd)
	cmd.MarkFlagsMutuallyExclusive("remove", flagMinAccess)
	cmd.MarkFlagsMutuallyExclusive("remove", "print")
	cmd.MarkFlagsMutuallyExclusive("remove", "env")
	cmd.MarkFlagsMutuallyExclusive("proxy", "remove")
	cmd.MarkFlagsMutuallyExclusive("proxy", "helper")
	cmd.MarkFlagsMutuallyExclusive("proxy", flagMinAccess)
	complete(cmd, "env", words(formShell, formKubernetes, formRegistry))
	complete(cmd, "helper", aFile)
	complete(cmd, "proxy", cobra.NoFileCompletions)
	complete(cmd, "rewrite-ssh", cobra.NoFileCompletions)
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
	return noArguments(cmd, args)
}

// check takes the values of flags, and refuses those that can't be.
func (r *setupRun) check(cmd *cobra.Command, args []string) error {
	changed := cmd.Flags().Changed
	switch r.scope = setup.Global; {
	case r.local:
		r.scope = setup.Local
	case r.system:
		r.scope = setup.System
	}
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
	if changed("proxy") {
		var err error
		if r.proxy, err = setup.ParseProxy(r.proxy); err != nil {
			return misused(r.d, "--proxy", err.Error())
		}
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
	r.code = max(r.code, codeOf(m))
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
	plan := setup.Plan{Instances: instances, Program: setup.Program, Level: r.level, At: r.target.Request, SSHPort: r.sshPort, Closed: r.closed, Proxy: r.proxy}
	if r.program != "" {
		plan.Program, _ = setup.AbsoluteProgram(r.program) // checked before
	}
	if r.closed {
		plan.Script = setup.PlatformHelper
		if !r.elsewhere() && !r.print {
			plan.Script = cmp.Or(setup.ScriptIn(r.d.git()), plan.Script)
		}
	}
	sections, problem := plan.Sections()
	if problem != nil {
		return r.stop(problem)
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
			r.d.say.tell(noteClosed(droppedNames(r.d.git(), sections), ""), asIs)
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

// instances are those to set up. Problems with others are reported and ignored.
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

// open finds the file to write to.
func (r *setupRun) open(ctx context.Context) (*setup.Config, error) {
	if r.git == nil {
		return nil, errGitMissing()
	}
	path := setup.FileOf(ctx, r.scope, r.git, r.d.config)
	if r.scope == setup.Global && !filepath.IsAbs(path) {
		return nil, errHomeMissing()
	}
	return setup.Open(ctx, *r.git, r.scope, path)
}

// write writes what is not there yet. The helper comes first: it is set up even without an
// identity.
func (r *setupRun) write(ctx context.Context, instances []instance.Instance, sections []setup.Section) error {
	config, problem := r.open(ctx)
	if problem != nil {
		return r.stop(problem)
	}
	found := r.warn(ctx)
	var dropped []string
	if r.closed {
		dropped = droppedNames(r.d.git(), sections)
	}
	changed, problem := config.Write(ctx, sections)
	if problem != nil {
		return r.stop(problem)
	}
	if r.closed {
		r.d.say.tell(noteClosed(dropped, r.scope), asIs)
	}
	who := r.who(ctx, instances)
	if _, problem = config.Write(ctx, who); problem != nil {
		return r.stop(problem)
	}
	for _, s := range who {
		r.d.say.tell(noteIdentitySet(s.Keys()), asIs)
	}
	everywhere := gitProgram(r.d).Read(ctx, gitCommand(r.d))
	effect := setup.EffectOf(everywhere, sections, config.Path())
	for _, m := range effect.Warnings {
		r.d.say.tell(m, asIs)
	}
	switch {
	case r.proxy != "" && len(effect.Rewritten) > 0:
		r.d.say.tell(noteProxySet(r.proxy, instances, config.Path()), asIs)
	case len(effect.Rewritten) > 0:
		r.d.say.tell(noteRewritten(effect.Rewritten), asIs)
	}
	if r.closed {
		for _, h := range setup.Unrestricted(everywhere) {
			r.d.say.tell(warnStillOpen(h.Name(), h.Origin), asIs)
		}
	}
	switch {
	case len(effect.Asked) == 0:
	case !found:
		r.d.say.tell(noteSetUpAhead(effect.Asked, config.Path()), asIs)
	case !changed && len(who) == 0:
		r.d.say.tell(noteSetUpBefore(effect.Asked, config.Path()), asIs)
	default:
		r.d.say.tell(noteSetUp(effect.Asked, config.Path()), asIs)
	}
	return r.done()
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
	what := only.Instance
	if only.At = r.target.Request; only.At.Host != "" {
		what = only.At.Protocol + "://" + only.At.Host + "/" + only.At.Path
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
		r.d.say.tell(noteNothingToRemove(config.Path(), what), asIs)
		return nil
	}
	var names []string
	for _, s := range removed {
		if !s.Refuses() { // it belongs to another
			names = append(names, s.String())
		}
	}
	r.d.say.tell(noteRemoved(names, config.Path()), asIs)
	return nil
}

// warn warns when git won't find the helper here, and reports whether it will.
func (r *setupRun) warn(ctx context.Context) bool {
	if r.proxy != "" {
		return true // no helper is used
	}
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
