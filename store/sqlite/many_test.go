package sqlite

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/internal/test/logtest"
)

// TestLoadManyWithoutTheDamaged: one row of nonsense costs its own key, not the
// others'.
func TestLoadManyWithoutTheDamaged(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := new(logtest.Log)
	s := open(t, path, log)
	save(t, s, "lost")
	sound := custody.Key{Kind: "jsapi_ticket", AppID: key.AppID}
	lease, err := s.Acquire(t.Context(), sound, "attempt", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(t.Context(), lease, custody.Record{Value: "sound", End: lease.Record.Now.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	run(t, raw(t, path), "UPDATE zhongkong_credentials SET end_us = -1 WHERE name = ?", key.String())

	found, err := s.LoadMany(t.Context(), []custody.Key{key, sound})
	if err != nil || len(found) != 1 || found[sound].Value != "sound" {
		t.Errorf("LoadMany: %d records, %q, %v; want the sound one", len(found), found[sound].Value, err)
	}
	log.MustWarnOnce(t, "end_us", key.String())
	if slices.ContainsFunc(log.Lines(slog.LevelWarn), func(line string) bool { return strings.Contains(line, "lost") }) {
		t.Error("the log shows the value")
	}
}

// TestLoadManyFromADamagedFile sets it aside, as other calls do.
func TestLoadManyFromADamagedFile(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	log := new(logtest.Log)
	s := open(t, path, log)
	save(t, s, "lost")
	other := raw(t, path) // TestDamagedInUse says why all this
	const insert = "INSERT INTO zhongkong_journal (name, at_us, event, fence, attempt, detail) VALUES ('', 1, '', 0, '', '')"
	run(t, other, insert)
	run(t, other, "PRAGMA wal_checkpoint(TRUNCATE)")
	garble(t, path, 100)
	run(t, other, insert)

	if found, err := s.LoadMany(t.Context(), []custody.Key{key}); err != nil || len(found) != 0 {
		t.Errorf("LoadMany: %d records, %v; want none", len(found), err)
	}
	log.MustWarnOnce(t, "set aside", path+".corrupt-1")
	save(t, s, "renewed")
	if found, err := s.LoadMany(t.Context(), []custody.Key{key}); err != nil || found[key].Value != "renewed" {
		t.Errorf("LoadMany: %q, %v; want the renewed one", found[key].Value, err)
	}
}
