package kubetest

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"
)

// envAssets names the directory with kube-apiserver and etcd.
const envAssets = "ACP_KUBE_ASSETS"

// cluster is the one that tests share; those that break it start their own.
var cluster *Cluster

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	assets := os.Getenv(envAssets)
	if assets == "" {
		fmt.Fprintln(os.Stderr, envAssets+" is not set; make test-kube builds what is needed and sets it")
		return 1
	}
	var err error
	if cluster, err = Start(assets); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	end := sync.OnceValue(func() error { return errors.Join(stopAll(), built.remove()) })
	defer func() {
		if err := end(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	// Both programs are in process groups of their own, and would outlive this one.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-ended
		_ = end()
		os.Exit(130)
	}()
	return m.Run()
}
