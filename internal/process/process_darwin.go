package process

import "syscall"

// untraceable has no answer here but the system's own: only the same user may
// look.
func untraceable() {}

func replace(from, to int) error { return syscall.Dup2(from, to) }
