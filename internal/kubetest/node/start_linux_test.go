package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/ambient-code/git-credential-acp/internal/gitlabtest"
)

// root is the repository.
const root = "../../.."

var zeroTime time.Time

// The addresses in the network namespace.
const (
	addrNode   = "10.0.0.1"
	addrGitLab = "10.0.0.2"
	addrDNS    = "10.0.0.53"
	addrAPI    = "10.96.0.1" // that of the Service kubernetes, in the API server's range
)

// The instances of docs/kubernetes: the base's and the example's. One fake GitLab
// answers for both.
const (
	ours   = "gitlab.example.com"
	theirs = "gitlab.internal.example"
)

// machine is the node and what is beside it. It ends with the namespaces.
type machine struct {
	dir        string
	program    string
	gitlab     *gitlabtest.Server
	client     kubernetes.Interface
	kubeconfig string
	ended      chan error // a program that should run for ever has ended
}

// node is the one that all tests share.
var node *machine

// inside is the first process of the namespaces.
func inside(m *testing.M, dir string) int {
	log.SetLogger(klog.Logger{})
	began := time.Now()
	node = &machine{dir: dir, program: filepath.Join(dir, "git-credential-acp"), ended: make(chan error, 10)}
	if err := node.start(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		node.explain()
		return 1
	}
	fmt.Printf("the node is ready after %s\n", time.Since(began).Round(time.Second/10))
	return m.Run()
}

// start returns when the node is ready for pods.
func (n *machine) start() error {
	for _, step := range []func() error{n.isolate, n.serve, n.controlPlane, n.containerd, n.kubelet} {
		if err := step(); err != nil {
			return err
		}
	}
	return n.ready()
}

// isolate gives this process mounts and a network of its own, so that nothing that
// is written or set reaches the machine.
func (n *machine) isolate() error {
	if err := syscall.Sethostname([]byte("node1")); err != nil {
		return err
	}
	type mount struct {
		source, target, kind string
		flags                uintptr
		data                 string
	}
	mounts := []mount{{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE, ""}, {"proc", "/proc", "proc", 0, ""}}
	for _, target := range []string{"/run", "/var/lib", "/var/log"} {
		mounts = append(mounts, mount{"tmpfs", target, "tmpfs", 0, "mode=755,size=4g"})
	}
	// kubelet sets these for the whole machine, unless they have its values.
	for name, value := range map[string]string{"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000"} {
		file, err := n.write("sysctl-"+strings.ReplaceAll(name, "/", "-"), value+"\n")
		if err != nil {
			return err
		}
		mounts = append(mounts, mount{file, "/proc/sys/" + name, "", syscall.MS_BIND, ""})
	}
	hosts, err := n.write("hosts", "127.0.0.1 localhost node1\n"+addrGitLab+" "+ours+" "+theirs+"\n")
	if err != nil {
		return err
	}
	mounts = append(mounts, mount{hosts, "/etc/hosts", "", syscall.MS_BIND, ""}, mount{"", "/", "", syscall.MS_REC | syscall.MS_SHARED, ""})
	for _, m := range mounts {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	for _, address := range []string{addrNode, addrGitLab, addrDNS, addrAPI} {
		if out, err := exec.Command("ip", "addr", "add", address+"/32", "dev", "lo").CombinedOutput(); err != nil {
			return fmt.Errorf("ip: %w: %s", err, out)
		}
	}
	return os.Mkdir(n.path("log"), 0o755)
}

func (n *machine) path(name string) string { return filepath.Join(n.dir, name) }

func (n *machine) write(name, text string) (string, error) {
	return n.path(name), os.WriteFile(n.path(name), []byte(text), 0o644)
}

// serve starts the registry, the DNS and the fake GitLab.
func (n *machine) serve() error {
	images := &registry{manifests: map[string][]byte{}, blobs: map[string]string{}, dir: n.dir}
	config, err := readDockerfile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		return err
	}
	if err := pack(n.program, n.path("program.tar")); err != nil {
		return err
	}
	session := filepath.Join(os.Getenv(envNode), "session.tar")
	idle := map[string]any{"User": "1001", "Cmd": []string{"/bin/sleep", "infinity"}, "WorkingDir": "/", "Env": []string{"PATH=/usr/bin:/bin"}}
	err = errors.Join(images.add("git-credential-acp", n.path("program.tar"), config), images.add("session", session, idle), images.add("pause", session, idle))
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addrNode+":5000")
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, images) }()
	dns, err := net.ListenPacket("udp", addrDNS+":53")
	if err != nil {
		return err
	}
	go serveDNS(dns, map[string][4]byte{ours: {10, 0, 0, 2}, theirs: {10, 0, 0, 2}, "kubernetes.default.svc.cluster.local": {10, 96, 0, 1}})

	if n.gitlab, err = gitlabtest.Start(gitlabtest.Options{Dir: n.path("gitlab"), Hosts: []string{ours, theirs}}); err != nil {
		return err
	}
	n.gitlab.AddUser(gitlabtest.User{ID: 7, Username: "dev"})
	if err := n.gitlab.AddProject(gitlabtest.Project{Path: "group/project", Direct: map[int]int{7: 30}}); err != nil {
		return err
	}
	return forward(addrGitLab+":443", n.gitlab.Addr())
}

// forward gives a server another address: gitlabtest listens on loopback addresses
// only, which pods can't reach.
func forward(from, to string) error {
	listener, err := net.Listen("tcp", from)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				server, err := net.Dial("tcp", to)
				if err != nil {
					_ = conn.Close()
					return
				}
				for _, pair := range [][2]net.Conn{{conn, server}, {server, conn}} {
					go func() {
						_, _ = io.Copy(pair[0], pair[1])
						_ = pair[0].(*net.TCPConn).CloseWrite()
					}()
				}
			}()
		}
	}()
	return nil
}

// controlPlane starts etcd, the API server, the controllers and the scheduler.
func (n *machine) controlPlane() error {
	assets := os.Getenv(envKube)
	environment := &envtest.Environment{BinaryAssetsDirectory: assets, ControlPlaneStartTimeout: 2 * time.Minute}
	server := environment.ControlPlane.GetAPIServer()
	server.SecureServing.Address, server.SecureServing.Port = addrAPI, "443"
	server.CertDir = n.path("certs")
	if err := os.Mkdir(server.CertDir, 0o755); err != nil {
		return err
	}
	var err error
	if server.Err, err = os.Create(n.path("log/kube-apiserver")); err != nil {
		return err
	}
	server.Out = server.Err
	server.Configure().Disable("disable-admission-plugins").Set("authorization-mode", "Node", "RBAC").Set("enable-admission-plugins", "NodeRestriction").
		Set("service-cluster-ip-range", "10.96.0.0/24").Set("advertise-address", addrNode).Set("kubelet-preferred-address-types", "InternalIP").
		Set("service-account-issuer", "https://kubernetes.default.svc.cluster.local")
	config, err := environment.Start()
	if err != nil {
		return err
	}
	if n.client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	for name, user := range map[string]envtest.User{
		"admin":                   {Name: "admin", Groups: []string{"system:masters"}},
		"kube-controller-manager": {Name: "system:kube-controller-manager"},
		"kube-scheduler":          {Name: "system:kube-scheduler"},
		"kubelet":                 {Name: "system:node:node1", Groups: []string{"system:nodes"}},
	} {
		added, err := environment.AddUser(user, nil)
		if err != nil {
			return err
		}
		text, err := added.KubeConfig()
		if err == nil {
			_, err = n.write(name+".conf", string(text))
		}
		if err != nil {
			return err
		}
	}
	n.kubeconfig = n.path("admin.conf")
	ca, err := n.write("ca.crt", string(config.CAData))
	return errors.Join(err,
		n.run(filepath.Join(assets, "kube-controller-manager"), "--kubeconfig", n.path("kube-controller-manager.conf"), "--leader-elect=false",
			"--use-service-account-credentials", "--root-ca-file", ca, "--service-account-private-key-file", n.path("certs/sa-signer.key")),
		n.run(filepath.Join(assets, "kube-scheduler"), "--kubeconfig", n.path("kube-scheduler.conf"), "--leader-elect=false"))
}

// run starts a program that ends with the namespaces.
func (n *machine) run(program string, args ...string) error {
	out, err := os.Create(n.path("log/" + filepath.Base(program)))
	if err != nil {
		return err
	}
	cmd := exec.Command(program, args...)
	debian := filepath.Join(os.Getenv(envNode), "root")
	cmd.Env = append(os.Environ(), "PATH="+debian+"/usr/bin:"+os.Getenv("PATH"))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { n.ended <- fmt.Errorf("%s has ended: %w", filepath.Base(program), cmd.Wait()) }()
	return nil
}

// containerd returns when containerd listens: kubelet ends if it can't reach it.
func (n *machine) containerd() error {
	debian := filepath.Join(os.Getenv(envNode), "root")
	for _, dir := range []string{"registries/_default", "cni"} {
		if err := os.MkdirAll(n.path(dir), 0o755); err != nil {
			return err
		}
	}
	var err error
	write := func(name, text string, values ...any) (file string) {
		var failed error
		file, failed = n.write(name, fmt.Sprintf(text, values...))
		err = errors.Join(err, failed)
		return file
	}
	// Every registry is this one.
	write("registries/_default/hosts.toml", "server = \"http://%s:5000\"\n", addrNode)
	write("cni/10-bridge.conflist", `{"cniVersion": "1.0.0", "name": "node", "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": true,
		"ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}`)
	libraries, globbed := filepath.Glob(debian + "/usr/lib/*-linux-gnu*")
	if globbed != nil || len(libraries) != 1 {
		return fmt.Errorf("the libraries of runc: %q, %w", libraries, globbed)
	}
	runc := write("runc", "#!/bin/sh\nLD_LIBRARY_PATH='%s' exec '%s/usr/sbin/runc' \"$@\"\n", libraries[0], debian)
	err = errors.Join(err, os.Chmod(runc, 0o755))
	containerd := write("containerd.toml", `version = 3
root = '/var/lib/containerd'
state = '/run/containerd'
disabled_plugins = ['io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri']
[grpc]
  address = '/run/containerd/containerd.sock'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'registry.example.com/pause:1'
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = '%[1]s/registries'
[plugins.'io.containerd.cri.v1.runtime']
  # Only CAP_SYS_RESOURCE may make a process less likely to be killed.
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = '%[1]s/runc'
  SystemdCgroup = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['%[2]s/usr/lib/cni']
  conf_dir = '%[1]s/cni'
`, n.dir, debian)
	if err != nil {
		return err
	}
	if err := n.run(filepath.Join(debian, "usr/bin/containerd"), "--config", containerd); err != nil {
		return err
	}
	return n.await("containerd listens", func(context.Context) bool {
		conn, err := net.Dial("unix", "/run/containerd/containerd.sock")
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func (n *machine) kubelet() error {
	resolver, err := n.write("resolv.conf", "nameserver "+addrDNS+"\n")
	if err != nil {
		return err
	}
	// Requests to kubelet come from this network namespace only.
	kubelet, err := n.write("kubelet.yaml", fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
failCgroupV1: false
failSwapOn: false
cgroupRoot: /%s
cgroupDriver: cgroupfs
enforceNodeAllocatable: []
oomScoreAdj: 0
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
resolvConf: %s
clusterDNS: [%s]
clusterDomain: cluster.local
evictionHard: {memory.available: 100Mi, nodefs.available: 1%%, imagefs.available: 1%%}
`, os.Getenv(envCgroup), resolver, addrDNS))
	if err != nil {
		return err
	}
	return n.run(filepath.Join(os.Getenv(envKube), "kubelet"), "--config", kubelet, "--kubeconfig", n.path("kubelet.conf"),
		"--hostname-override", "node1", "--node-ip", addrNode)
}

// ready waits for the node.
func (n *machine) ready() error {
	return n.await("the node is ready", func(ctx context.Context) bool {
		found, err := n.client.CoreV1().Nodes().Get(ctx, "node1", meta.GetOptions{})
		return err == nil && slices.ContainsFunc(found.Status.Conditions, func(c core.NodeCondition) bool {
			return c.Type == core.NodeReady && c.Status == core.ConditionTrue
		})
	})
}

// await waits two minutes at most for a condition, while the node's programs run.
func (n *machine) await(what string, holds func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for !holds(ctx) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("it does not happen that %s", what)
		case err := <-n.ended:
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// explain prints what the node's programs have complained of.
func (n *machine) explain() {
	logs, _ := filepath.Glob(n.path("log/*"))
	for _, file := range logs {
		text, err := os.ReadFile(file)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		fmt.Fprintf(os.Stderr, "--- the end of the log of %s (%v)\n%s\n", filepath.Base(file), err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
}
