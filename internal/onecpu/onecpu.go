// Package onecpu makes the process start with one processor (GOMAXPROCS): the threads that
// Go would start for others cost more than they save in a program that runs for a few
// milliseconds. It imports the runtime alone, so that Go initializes it before nearly all
// other packages.
package onecpu

import "runtime"

func init() { runtime.GOMAXPROCS(1) }
