package kubetest

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// envAssets names the directory with kube-apiserver and etcd.
const envAssets = "ACP_KUBE_ASSETS"

// bed is the one that tests share; those that break it start their own.
var bed *Bed

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	assets := os.Getenv(envAssets)
	if assets == "" {
		fmt.Fprintln(os.Stderr, envAssets+" is not set; make test-kube builds what is needed and sets it")
		return 1
	}
	var err error
	if bed, err = Start(assets); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := errors.Join(bed.Stop(), built.remove()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	return m.Run()
}
