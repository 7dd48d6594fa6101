package gitlab

import (
	"net/http"
	"strings"
	"testing"
)

// A panic over an answer ends the check in the goroutine of the one who asked
// for it, where it can be told, whichever of the questions it was.
func TestPanic(t *testing.T) {
	for _, at := range []string{"/self", "/projects/"} {
		c := stubbed(t, func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, at) {
				panic(at)
			}
			return right(r), nil
		})
		func() {
			defer func() {
				if got := recover(); got != at {
					t.Errorf("%s: recovered %v", at, got)
				}
			}()
			ask(t.Context(), t, c, guide)
			t.Errorf("%s: nothing happened", at)
		}()
	}
}
