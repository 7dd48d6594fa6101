package gitlabtest

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// reply is a whole answer, so that it can be decided upon in one place and
// written in another.
type reply struct {
	status int
	header http.Header
	body   []byte
}

const (
	typeJSON  = "application/json"
	typePlain = "text/plain; charset=utf-8"
)

func jsonReply(status int, v any) reply {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only types of this package come here
	}
	return reply{status: status, header: http.Header{"Content-Type": {typeJSON}}, body: b}
}

// message is GitLab's own form of an error: {"message":"404 Not found"}.
func message(status int, text string) reply {
	return jsonReply(status, struct {
		Message string `json:"message"`
	}{text})
}

// routeError is Grape's form, for what no endpoint matches.
func routeError(status int, text string) reply {
	return jsonReply(status, struct {
		Error string `json:"error"`
	}{text})
}

func plain(status int, text string) reply {
	return reply{status: status, header: http.Header{"Content-Type": {typePlain}}, body: []byte(text)}
}

func (p reply) with(key, value string) reply {
	p.header.Set(key, value)
	return p
}

func (p reply) write(w http.ResponseWriter) {
	for k, v := range p.header {
		w.Header()[k] = v
	}
	if p.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(p.body)))
	}
	w.WriteHeader(p.status)
	_, _ = w.Write(p.body)
}
