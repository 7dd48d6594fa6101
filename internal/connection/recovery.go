package connection

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ambient-code/git-credential-acp/internal/file"
	"github.com/ambient-code/git-credential-acp/internal/token"
)

// Recovery is a file for a token that GitLab has created and that is not stored yet. Only
// its owner can read it and write to its directory. It exists from before GitLab is asked for
// the token until that is stored.
type Recovery struct {
	Path string
	// Keeper names the keeper, and Flags are those that rotate --resume needs, for messages.
	Keeper, Flags string
}

// Record is its content. Without a token, GitLab was not asked, or its reply was not saved.
type Record struct {
	// Keeper is where the token goes; KeptID, Server and Owner identify it further, if
	// known; Instance is the instance's URL.
	Keeper   string `json:"keeper"`
	KeptID   string `json:"keptId,omitempty"`
	Server   string `json:"server,omitempty"`
	Owner    string `json:"owner,omitempty"`
	Instance string `json:"instance"`
	// OldID and UserID are the IDs of the old token and its user.
	OldID  int64       `json:"oldId"`
	UserID int64       `json:"userId"`
	Token  token.Token `json:"-"`
}

// recordFile is a record's form on disk, the only place with the token as text.
type recordFile struct {
	Version int `json:"version"`
	Record
	Token string `json:"token,omitempty"`
}

// format is the version of the form, and maxRecord its largest size in bytes. Each record
// is padded to minRecord, so that one with a token fits in place of one without, even on a
// full disk.
const (
	format    = 1
	minRecord = 4 << 10
	maxRecord = 64 << 10
)

var (
	errShared = errors.New("other users can read or write it, so it can't be trusted")
	errForm   = errors.New("it was not written by this program")
)

// RecoveryIn is the file in a directory for a keeper.
func RecoveryIn(dir string, keeper Keeper) Recovery {
	sum := sha256.Sum256([]byte(keeper.Where()))
	return Recovery{Path: filepath.Join(dir, fmt.Sprintf("rotation-%x.json", sum[:8])), Keeper: keeper.Where(), Flags: keeper.Flag()}
}

// Hold keeps other rotations of the same place from running until release is called.
func (r Recovery) Hold() (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(r.Path), 0o700); err != nil {
		return nil, errRecoveryUnwritable(r.Path, cause(err))
	}
	release, err = file.Lock(r.Path + ".lock")
	switch {
	case errors.Is(err, file.ErrHeld):
		return nil, errUnderWay(r.Keeper)
	case err != nil:
		return nil, errRecoveryUnwritable(r.Path, cause(err))
	}
	return release, nil
}

// fresh is the temporary file of a record.
func (r Recovery) fresh() string { return r.Path + ".new" }

// Read reads the record; false if there is none. A temporary file with a token that was not
// renamed is the record.
func (r Recovery) Read() (Record, bool, error) {
	record, found, err := read(r.fresh())
	if found && !record.Token.IsZero() {
		return record, true, nil
	}
	// An incomplete record is ignored.
	if err == nil || errors.Is(err, errForm) {
		record, found, err = read(r.Path)
	}
	if err != nil {
		return Record{}, false, errRecoveryUnreadable(r.Path, err)
	}
	return record, found, nil
}

// unfinished is an error if there is a record, so that an earlier rotation must be finished first.
func (r Recovery) unfinished() error {
	_, found, err := r.Read()
	if found {
		err = errUnfinished(r)
	}
	return err
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
	var f recordFile
	if json.Unmarshal(data, &f) != nil || f.Version != format {
		return Record{}, false, errForm
	}
	f.Record.Token = token.Issued(f.Token)
	return f.Record, true, nil
}

// Write writes the record atomically and syncs it. If there is no space for a second file,
// the existing one is overwritten.
func (r Recovery) Write(record Record) error {
	data, err := encode(record)
	if err != nil {
		return err
	}
	if err = r.replace(data); err != nil && r.overwrite(data) == nil {
		return nil
	}
	return err
}

// encode is a record's text, padded with blanks.
func encode(record Record) ([]byte, error) {
	data, err := json.Marshal(recordFile{Version: format, Record: record, Token: record.Token.Reveal()})
	if err != nil {
		return nil, errForm
	}
	return append(data, bytes.Repeat([]byte{' '}, max(0, minRecord-len(data)))...), nil
}

// replace writes a temporary file, and renames it.
func (r Recovery) replace(data []byte) error {
	dir := filepath.Dir(r.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return cause(err)
	}
	// With a fixed name, so that one left by a killed process is found.
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
	if err := os.Rename(r.fresh(), r.Path); err != nil {
		return cause(err)
	}
	return syncDir(dir)
}

// overwrite overwrites the record in place, which needs no further space.
func (r Recovery) overwrite(data []byte) error {
	// The file may have been replaced by another program.
	opened, err := file.Overwrite(r.Path)
	if err != nil {
		return err
	}
	_, err = opened.Write(data)
	return errors.Join(err, opened.Sync(), opened.Close())
}

// Remove deletes the record.
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

// syncDir syncs a directory, where supported.
func syncDir(dir string) error {
	opened, err := os.Open(dir)
	if err != nil {
		return cause(err)
	}
	_ = opened.Sync() // some file systems can't, and need not
	return opened.Close()
}

// cause is a file system error without the path, which messages name.
func cause(err error) error {
	if errors.Is(err, file.ErrTooLarge) || errors.Is(err, file.ErrNotRegular) {
		return err
	}
	return errors.New(file.Cause(err))
}
