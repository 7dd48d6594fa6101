package message

import (
	"strings"
)

// Setup is the topic of what setup did.
const Setup Topic = "setup"

// List joins items as a sentence does: "a, b and c".
func List(items []string) string {
	if len(items) < 2 {
		return strings.Join(items, "")
	}
	return strings.Join(items[:len(items)-1], ", ") + " and " + items[len(items)-1]
}
