package process

import "syscall"

// untraceable lets no other process attach to this one, read its memory or its
// environment below /proc, nor the kernel dump it, unless it is the superuser's
// (prctl(2), PR_SET_DUMPABLE).
func untraceable() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
}

// replace makes the descriptor to be a copy of from. Not every Linux has dup2.
func replace(from, to int) error { return syscall.Dup3(from, to, 0) }
