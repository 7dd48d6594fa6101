package gitlabtest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

const typeLFS = "application/vnd.git-lfs+json"

// maxObject bounds an uploaded LFS object.
const maxObject = 256 << 20

var objectID = regexp.MustCompile(`^[0-9a-f]{64}$`)

type lfsObject struct {
	OID     string               `json:"oid"`
	Size    int64                `json:"size"`
	Actions map[string]lfsAction `json:"actions,omitempty"`
	Error   *lfsError            `json:"error,omitempty"`
}

type lfsAction struct {
	Href   string            `json:"href"`
	Header map[string]string `json:"header,omitempty"`
}

type lfsError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// serveLFS serves git-lfs: the batch API, transfers, verification, and locks (there are
// none).
func (s *Server) serveLFS(w http.ResponseWriter, r *http.Request, rt *repoRoute) {
	c, refused := s.gitLogin(r)
	if refused != nil {
		refused.write(w)
		return
	}
	var batch struct {
		Operation string      `json:"operation"`
		Objects   []lfsObject `json:"objects"`
		lfsObject             // verify sends one by itself
	}
	upload := r.Method == http.MethodPut
	if r.Method == http.MethodPost {
		b, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
		if err == nil {
			err = json.Unmarshal(b, &batch)
		}
		if err != nil {
			s.lfsMessage(r, http.StatusUnprocessableEntity, "Invalid request.").write(w)
			return
		}
		upload = batch.Operation == "upload" || rt.rpc == "/info/lfs/verify"
	}
	p, refused := s.lfsAccess(r, c, rt, upload)
	if refused != nil {
		refused.write(w)
		return
	}
	store := filepath.Join(s.root, "lfs", strconv.Itoa(p.ID))
	object, transfer := strings.CutPrefix(rt.rpc, "/gitlab-lfs/objects/")
	switch {
	case rt.rpc == "/info/lfs/objects/batch" && r.Method == http.MethodPost:
		s.lfsBatch(r, rt, store, upload, batch.Objects).write(w)
	case rt.rpc == "/info/lfs/verify" && r.Method == http.MethodPost:
		if !stored(store, batch.lfsObject) {
			s.lfsMessage(r, http.StatusNotFound, "Not found.").write(w)
			return
		}
		jsonReply(http.StatusOK, struct{}{}).with("Content-Type", typeLFS).write(w)
	case rt.rpc == "/info/lfs/locks" && r.Method == http.MethodGet:
		jsonReply(http.StatusOK, map[string][]string{"locks": {}}).with("Content-Type", typeLFS).write(w)
	case rt.rpc == "/info/lfs/locks/verify" && r.Method == http.MethodPost:
		jsonReply(http.StatusOK, map[string][]string{"ours": {}, "theirs": {}}).with("Content-Type", typeLFS).write(w)
	case transfer && r.Method == http.MethodGet && objectID.MatchString(object):
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeFile(w, r, filepath.Join(store, object))
	case transfer && upload:
		oid, size, _ := strings.Cut(object, "/")
		s.lfsStore(r, store, oid, size).write(w)
	default:
		s.lfsMessage(r, http.StatusNotFound, "Not found.").write(w)
	}
}

// lfsAccess checks access like GitLab's LfsRequest: 401 without a login, 404 for invisible
// projects, 403 without the right.
func (s *Server) lfsAccess(r *http.Request, c gitCaller, rt *repoRoute, upload bool) (Project, *reply) {
	p, _, ok := s.state.project(rt.path)
	if c.anonymous && (upload || !ok || !p.codeVisible(User{})) {
		return p, s.denied(r)
	}
	if !ok || !p.visible(c.user) {
		a := s.lfsMessage(r, http.StatusNotFound, "Not found.")
		return p, &a
	}
	may := c.pull && p.codeVisible(c.user)
	if upload {
		may = c.push && p.pushable(c.user, false)
	}
	if !may || c.user.Forbidden != "" {
		a := s.lfsMessage(r, http.StatusForbidden, "Access forbidden. Check your access level.")
		return p, &a
	}
	return p, nil
}

func (s *Server) lfsMessage(r *http.Request, status int, text string) reply {
	return jsonReply(status, struct {
		Message string `json:"message"`
		URL     string `json:"documentation_url"`
	}{text, s.base(r) + "/help"}).with("Content-Type", typeLFS)
}

func (s *Server) lfsBatch(r *http.Request, rt *repoRoute, store string, upload bool, objects []lfsObject) reply {
	if len(objects) == 0 {
		return s.lfsMessage(r, http.StatusNotFound, "Not found.")
	}
	repo := s.base(r) + "/" + rt.path + ".git"
	header := map[string]string{}
	if a := r.Header.Get("Authorization"); a != "" {
		header["Authorization"] = a
	}
	for i := range objects {
		o := &objects[i]
		o.Actions = map[string]lfsAction{}
		switch {
		case !objectID.MatchString(o.OID) || o.Size < 0 || o.Size > maxObject:
			o.Error = &lfsError{http.StatusUnprocessableEntity, "Invalid object"}
		case upload && stored(store, *o): // nothing to do
		case upload:
			o.Actions["upload"] = lfsAction{Href: repo + "/gitlab-lfs/objects/" + o.OID + "/" + strconv.FormatInt(o.Size, 10), Header: with(header, "Content-Type", "application/octet-stream")}
			o.Actions["verify"] = lfsAction{Href: repo + "/info/lfs/verify", Header: with(header, "Content-Type", typeLFS)}
		case stored(store, *o):
			o.Actions["download"] = lfsAction{Href: repo + "/gitlab-lfs/objects/" + o.OID, Header: header}
		default:
			o.Error = &lfsError{http.StatusNotFound, "Object does not exist on the server or you don't have permissions to access it"}
		}
	}
	return jsonReply(http.StatusOK, map[string]any{"transfer": "basic", "objects": objects}).with("Content-Type", typeLFS)
}

func with(header map[string]string, key, value string) map[string]string {
	h := map[string]string{key: value}
	maps.Copy(h, header)
	return h
}

// stored reports whether an object exists with that size.
func stored(store string, o lfsObject) bool {
	if !objectID.MatchString(o.OID) {
		return false
	}
	st, err := os.Stat(filepath.Join(store, o.OID))
	return err == nil && st.Size() == o.Size
}

// lfsStore stores an upload whose size and digest are right.
func (s *Server) lfsStore(r *http.Request, store, oid, size string) reply {
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil || n < 0 || n > maxObject || !objectID.MatchString(oid) {
		return s.lfsMessage(r, http.StatusNotFound, "Not found.")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, n+1))
	if sum := sha256.Sum256(body); err != nil || int64(len(body)) != n || hex.EncodeToString(sum[:]) != oid {
		return s.lfsMessage(r, http.StatusUnprocessableEntity, "SHA256 or size mismatch")
	}
	if err := errors.Join(os.MkdirAll(store, 0o755), os.WriteFile(filepath.Join(store, oid), body, 0o644)); err != nil {
		return s.lfsMessage(r, http.StatusInternalServerError, "Storage failed.")
	}
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {typePlain}}}
}
