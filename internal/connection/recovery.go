package connection

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Recovery is a file for a token that GitLab has made and that is not stored yet:
// for its owner alone, in a directory of its owner's. It is there from before
// the old token is read until the new one is stored, so that of several
// rotations at once all but one stop.
type Recovery struct{ Path string }

// Record is what is in it. Without a token, GitLab's answer had not come; without
// an OldID either, GitLab had not been asked.
type Record struct {
	// Keeper is where the token goes; KeptID, Server and Owner say which one of that
	// name, where, and whose, if it says; Instance is its GitLab's URL.
	Keeper, KeptID, Server, Owner, Instance string
	// OldID and UserID are the numbers of the token that it replaces and of its
	// owner, and Scopes what that one held.
	OldID, UserID int64
	Scopes        []string
	Token         token.Token
}

// written is the form of a record on disk, the only place where the token stands
// as a text.
type written struct {
	Version  int      `json:"version"`
	Keeper   string   `json:"keeper"`
	KeptID   string   `json:"keptId,omitempty"`
	Server   string   `json:"server,omitempty"`
	Owner    string   `json:"owner,omitempty"`
	Instance string   `json:"instance"`
	OldID    int64    `json:"oldId"`
	UserID   int64    `json:"userId"`
	Scopes   []string `json:"scopes"`
	Token    string   `json:"token,omitempty"`
}

// format is the version of the form, and maxRecord its greatest size in bytes.
// Each record takes up minRecord at least, so that one with a token has room
// where one without has been written, whatever becomes of the disk.
const (
	format    = 1
	minRecord = 4 << 10
	maxRecord = 64 << 10
)

var (
	errShared = errors.New("other users can read or write it, so it can't be trusted")
	errForm   = errors.New("it was not written by this program")
)

// Hold keeps the record to this process until release is called: file.ErrHeld when
// a rotation of the same place is under way.
func (r Recovery) Hold() (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(r.Path), 0o700); err != nil {
		return nil, cause(err)
	}
	release, err = file.Lock(r.Path + ".lock")
	if err != nil && !errors.Is(err, file.ErrHeld) {
		err = cause(err)
	}
	return release, err
}

// fresh is where a record is written before it takes the place of the one that is
// there.
func (r Recovery) fresh() string { return r.Path + ".new" }

// Read reads the record; false when there is none. One with a token that was
// written, and kept from taking its place, is the record.
func (r Recovery) Read() (Record, bool, error) {
	record, found, err := read(r.fresh())
	if found && !record.Token.IsZero() {
		return record, true, nil
	}
	// What was not written to its end does not count.
	if err != nil && !errors.Is(err, errForm) {
		return Record{}, false, err
	}
	return read(r.Path)
}

func read(path string) (Record, bool, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Record{}, false, nil
	case err != nil:
		return Record{}, false, cause(err)
	case !info.Mode().IsRegular():
		return Record{}, false, file.ErrNotRegular
	case !file.OwnedAlone(info) || info.Mode().Perm()&0o077 != 0:
		return Record{}, false, errShared
	}
	data, err := file.Read(path, maxRecord)
	if err != nil {
		return Record{}, false, cause(err)
	}
	var w written
	if json.Unmarshal(data, &w) != nil || w.Version != format {
		return Record{}, false, errForm
	}
	return Record{Keeper: w.Keeper, KeptID: w.KeptID, Server: w.Server, Owner: w.Owner, Instance: w.Instance, OldID: w.OldID, UserID: w.UserID, Scopes: w.Scopes, Token: token.Issued(w.Token)}, true, nil
}

// Claim writes the record if there is none; else the error is fs.ErrExist.
func (r Recovery) Claim(record Record) error {
	switch _, found, err := r.Read(); {
	case found || errors.Is(err, errForm) || errors.Is(err, errShared) || errors.Is(err, file.ErrNotRegular) || errors.Is(err, file.ErrTooLarge):
		return fs.ErrExist
	case err != nil:
		return err
	}
	data, err := encode(record)
	if err != nil {
		return err
	}
	return r.place(data, os.Link)
}

// Write writes the record, whole, and to the disk. Where there is no room for a
// second file, it is written over the one that is there.
func (r Recovery) Write(record Record) error {
	data, err := encode(record)
	if err != nil {
		return err
	}
	if err = r.place(data, os.Rename); err != nil && r.overwrite(data) == nil {
		return nil
	}
	return err
}

// encode gives the text of a record, filled up with blanks.
func encode(record Record) ([]byte, error) {
	data, err := json.Marshal(written{Version: format, Keeper: record.Keeper, KeptID: record.KeptID, Server: record.Server,
		Owner: record.Owner, Instance: record.Instance,
		OldID: record.OldID, UserID: record.UserID, Scopes: record.Scopes, Token: record.Token.Reveal()})
	if err != nil {
		return nil, errForm
	}
	return append(data, bytes.Repeat([]byte{' '}, max(0, minRecord-len(data)))...), nil
}

// place writes a file of its own, and has it put at the record's path.
func (r Recovery) place(data []byte, put func(from, to string) error) error {
	dir := filepath.Dir(r.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cause(err)
	}
	// Under a name of its own, so that what a kill leaves behind is found.
	_ = os.Remove(r.fresh())
	temporary, err := os.OpenFile(r.fresh(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return cause(err)
	}
	defer func() { _ = os.Remove(r.fresh()) }()
	_, err = temporary.Write(data)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return cause(err)
	}
	switch err = put(r.fresh(), r.Path); {
	case errors.Is(err, fs.ErrExist):
		return fs.ErrExist
	case err != nil:
		return cause(err)
	}
	return syncDir(dir)
}

// overwrite needs no room but what the record takes up already.
func (r Recovery) overwrite(data []byte) error {
	// What stands there now may have been put there by somebody else.
	opened, err := file.Overwrite(r.Path)
	if err != nil {
		return err
	}
	_, err = opened.Write(data)
	return errors.Join(err, opened.Sync(), opened.Close())
}

// Remove drops the record.
func (r Recovery) Remove() error {
	if err := os.Remove(r.fresh()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cause(err)
	}
	err := os.Remove(r.Path)
	if err == nil {
		return syncDir(filepath.Dir(r.Path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return cause(err)
}

// syncDir brings a directory's names to the disk, where that can be done.
func syncDir(dir string) error {
	opened, err := os.Open(dir)
	if err != nil {
		return cause(err)
	}
	_ = opened.Sync() // some file systems can't, and need not
	return opened.Close()
}

// cause is an error of the file system without the path, which messages name.
func cause(err error) error {
	if errors.Is(err, file.ErrTooLarge) || errors.Is(err, file.ErrNotRegular) {
		return err
	}
	return errors.New(file.Cause(err))
}
