package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/store"
)

// The looks of those who wait for another process's message.
const (
	firstLook = 20 * time.Millisecond
	lastLook  = 250 * time.Millisecond
)

// forgetPace is after how many new messages a process looks for old ones, and
// forgetMost how many of them it removes then.
const (
	forgetPace = 500
	forgetMost = 2000
)

// What a statement of the table zhongkong_messages means by a row that may go, and by
// one that nobody holds: store.Claim in SQL, to find rows and not to decide about them.
const (
	isGone = `(end_us <= :now AND kept_us = 0 AND (finished OR lease_end_us <= :now))`
	isFree = `(NOT finished AND lease_end_us <= :now)`
)

const (
	readClaim = `SELECT account, owner, attempts, deliveries, first_us, lease_end_us, end_us, finished, answer, kept, kept_us
		FROM zhongkong_messages WHERE name = ?`

	insertClaim = `INSERT INTO zhongkong_messages
		(name, account, owner, attempts, deliveries, first_us, lease_end_us, end_us, finished, answer, kept, kept_us, message)
		VALUES (:name, :account, :owner, :attempts, :deliveries, :first_us, :lease_end_us, :end_us, :finished, :answer, :kept, :kept_us, :content)
		ON CONFLICT (name) DO NOTHING`

	updateClaim = `UPDATE zhongkong_messages SET account = :account, owner = :owner, attempts = :attempts, deliveries = :deliveries,
		first_us = :first_us, lease_end_us = :lease_end_us, end_us = :end_us, finished = :finished, answer = :answer,
		kept = :kept, kept_us = :kept_us WHERE name = :name`

	updateContent = `UPDATE zhongkong_messages SET message = ? WHERE name = ?`

	firstKept = `SELECT name, message FROM zhongkong_messages
		WHERE account = :account AND kept_us > 0 AND ` + isFree + ` ORDER BY kept_us, name LIMIT 1`

	forgetMessages = `DELETE FROM zhongkong_messages WHERE rowid IN
		(SELECT rowid FROM zhongkong_messages WHERE ` + isGone + ` LIMIT :most)`
)

// Claim implements callback.Once.
func (s *Store) Claim( //nolint:revive // the contract of messages, which all stores implement
	ctx context.Context,
	account, key, owner string,
	lease, keep time.Duration,
) (attempt, delivery int, age time.Duration, err error) {
	if err := store.CheckClaim(account, key, owner, nil); err != nil {
		return 0, 0, 0, err
	}
	var claimed store.Claimed
	err = s.editClaim(ctx, key, true, func(now int64, c *store.Claim, _ bool) (content []byte, err error) {
		var fresh bool
		if claimed, fresh = c.Claim(now, account, owner, lease, keep); fresh {
			content = []byte{}
		}
		return content, nil
	})
	if err != nil {
		return 0, 0, 0, err
	}
	if claimed.Delivery == 1 && s.claims.Add(1)%forgetPace == 0 {
		// Tidying up fails no call: if it fails, the next time does it.
		_ = s.write(ctx, false, func(ctx context.Context, tx *tx) error {
			clear(tx.claims)
			_, err := tx.ExecContext(ctx, forgetMessages, sql.Named("now", s.time().UnixMicro()), sql.Named("most", forgetMost))
			return err
		})
	}
	return claimed.Attempt, claimed.Delivery, claimed.Age, nil
}

// Wait implements callback.Once. It looks every quarter of a second.
func (s *Store) Wait(ctx context.Context, key, owner string, lease time.Duration) (attempt int, answer []byte, err error) {
	if err := store.CheckClaim("", key, owner, nil); err != nil {
		return 0, nil, err
	}
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		c, now, err := s.lookAt(ctx, key)
		if err != nil {
			return 0, nil, err
		}
		attempt, answer, left := c.Wait(now, owner, lease)
		if attempt > 0 { // if nobody is quicker
			err = s.about(ctx, key, func(now int64, c *store.Claim) []byte {
				attempt, answer, left = c.Wait(now, owner, lease)
				return nil
			})
			if err != nil {
				return 0, nil, err
			}
		}
		if left <= 0 {
			return attempt, answer, nil
		}
		if err := s.sleep(ctx, min(pause/2+rand.N(pause), left)); err != nil {
			return 0, nil, err
		}
	}
}

// Hold implements callback.Once.
func (s *Store) Hold(ctx context.Context, key, owner string, lease time.Duration) (held, kept bool, err error) {
	if err := store.CheckClaim("", key, owner, nil); err != nil {
		return false, false, err
	}
	err = s.about(ctx, key, func(now int64, c *store.Claim) []byte {
		held, kept = c.Hold(now, owner, lease)
		return nil
	})
	return held, kept, err
}

// Keep implements callback.Once.
func (s *Store) Keep(ctx context.Context, key string, message []byte) (finished bool, answer []byte, err error) {
	if err := store.CheckClaim("", key, "", message); err != nil {
		return false, nil, err
	}
	err = s.about(ctx, key, func(now int64, c *store.Claim) (content []byte) {
		var write bool
		if finished, answer, write = c.Keep(now, message); write {
			content = message
		}
		return content
	})
	return finished, answer, err
}

// Finish implements callback.Once.
func (s *Store) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	if err := store.CheckClaim("", key, owner, answer); err != nil {
		return false, false, err
	}
	err = s.about(ctx, key, func(now int64, c *store.Claim) (content []byte) {
		var drop bool
		if held, kept, drop = c.Finish(now, owner, answer, keep); drop {
			content = []byte{}
		}
		return content
	})
	return held, kept, err
}

// Take implements callback.Once.
func (s *Store) Take(ctx context.Context, account, owner string, lease time.Duration) (key string, message []byte, attempt int, err error) { //nolint:revive,lll // the contract of messages, which all stores implement
	if err := store.CheckClaim(account, "", owner, nil); err != nil {
		return "", nil, 0, err
	}
	for {
		var first struct {
			Name    string `db:"name"`
			Message []byte `db:"message"`
		}
		// On most looks there is nothing, and a look needs no writer.
		if found, err := s.get(ctx, &first, firstKept, sql.Named("account", account)); err != nil || !found {
			return "", nil, 0, err
		}
		err := s.editClaim(ctx, first.Name, false, func(now int64, c *store.Claim, found bool) ([]byte, error) {
			if attempt = 0; found && c.Waits(now) { // what is kept stays the same as long as it is
				attempt = c.Take(now, owner, lease)
			}
			return nil, nil
		})
		if err != nil || attempt > 0 {
			return first.Name, first.Message, attempt, err
		}
	}
}

// claimRow is a claim in the table.
type claimRow struct {
	store.Claim
	Name    string `db:"name"`
	Content []byte `db:"content"`
}

// about edits a message that was claimed. What edit returns is the content to write, nil
// for none.
func (s *Store) about(ctx context.Context, key string, edit func(now int64, c *store.Claim) []byte) error {
	return s.editClaim(ctx, key, false, func(now int64, c *store.Claim, found bool) ([]byte, error) {
		if !found || !c.Known(now) {
			return nil, store.ErrUnknown
		}
		return edit(now, c), nil
	})
}

// editClaim reads, edits and writes a message in one transaction. One that may be new is
// taken for new first: of a thousand pushes a few are repetitions.
func (s *Store) editClaim(
	ctx context.Context, key string, mayBeNew bool,
	edit func(now int64, c *store.Claim, found bool) ([]byte, error),
) error {
	return s.write(ctx, false, func(ctx context.Context, tx *tx) error {
		known, found := tx.claims[key]
		if !found && mayBeNew {
			row := claimRow{Name: key}
			if inserted, err := s.insertClaim(ctx, tx, &row, edit); err != nil || inserted {
				return err
			}
		}
		row := claimRow{Name: key, Claim: known}
		if !found {
			var err error
			if found, err = foundRow(tx.GetContext(ctx, &row.Claim, readClaim, key)); err != nil {
				return err
			}
		}
		if !found {
			_, err := s.insertClaim(ctx, tx, &row, edit)
			return err
		}
		before := row.Claim
		var err error
		if row.Content, err = edit(s.now().UnixMicro(), &row.Claim, true); err != nil {
			return err
		}
		if row.Content == nil && reflect.DeepEqual(before, row.Claim) {
			return nil
		}
		if row.Answer == nil {
			row.Answer = []byte{} // never NULL
		}
		if _, err = tx.NamedExecContext(ctx, updateClaim, row); err == nil && row.Content != nil {
			_, err = tx.ExecContext(ctx, updateContent, row.Content, key)
		}
		tx.remember(key, row.Claim)
		return err
	})
}

// insertClaim edits a message that is not there, and writes it unless it is.
func (s *Store) insertClaim(
	ctx context.Context, tx *tx, row *claimRow,
	edit func(now int64, c *store.Claim, found bool) ([]byte, error),
) (inserted bool, err error) {
	if row.Content, err = edit(s.now().UnixMicro(), &row.Claim, false); err != nil {
		return false, err
	}
	if row.Answer == nil {
		row.Answer = []byte{} // never NULL
	}
	result, err := tx.NamedExecContext(ctx, insertClaim, row)
	if err != nil {
		return false, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return false, err
	}
	tx.remember(row.Name, row.Claim)
	return true, nil
}

// lookAt reads a message that was claimed, and the time.
func (s *Store) lookAt(ctx context.Context, key string) (c store.Claim, now int64, err error) {
	err = s.read(ctx, func(ctx context.Context, db *sqlx.DB) error {
		c, now = store.Claim{}, s.now().UnixMicro()
		there, err := foundRow(db.GetContext(ctx, &c, readClaim, key))
		if err == nil && (!there || !c.Known(now)) {
			err = store.ErrUnknown
		}
		return err
	})
	return c, now, err
}

// foundRow tells the error of a row that is not there from others.
func foundRow(err error) (bool, error) {
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// get reads the row that a query returns into into, if there is one. It adds the time to
// args.
func (s *Store) get(ctx context.Context, into any, query string, args ...any) (found bool, err error) {
	err = s.read(ctx, func(ctx context.Context, db *sqlx.DB) error {
		all := append([]any{sql.Named("now", s.time().UnixMicro())}, args...)
		found, err = foundRow(db.GetContext(ctx, into, query, all...))
		return err
	})
	return found && err == nil, err
}
