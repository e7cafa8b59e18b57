package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"time"
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

var errUnknown = errors.New("zhongkong: the SQLite store knows nothing of this message; it was not claimed, or is forgotten")

// What a statement of the table zhongkong_messages means by a row that may go,
// and by one that nobody holds.
const (
	isGone = `(zhongkong_messages.end_us <= :now AND kept_us = 0 AND (finished OR zhongkong_messages.lease_end_us <= :now))`
	isFree = `(NOT finished AND zhongkong_messages.lease_end_us <= :now)`
)

// Each call is one statement, which SQLite runs wholly or not at all, and which
// needs no more of its one writer's time than that.
const (
	claimMessage = `INSERT INTO zhongkong_messages
		(name, account, owner, attempts, deliveries, first_us, lease_end_us, end_us, finished, answer, kept, kept_us, message)
		VALUES (:name, :account, :owner, 1, 1, :now, :lease_end, :end, 0, x'', 0, 0, x'')
		ON CONFLICT (name) DO UPDATE SET
		account = iif(` + isGone + `, excluded.account, account),
		owner = iif(` + isGone + ` OR ` + isFree + `, excluded.owner, owner),
		attempts = iif(` + isGone + `, 1, attempts + (` + isFree + ` AND owner <> excluded.owner)),
		deliveries = iif(` + isGone + `, 1, deliveries + (finished OR owner <> excluded.owner)),
		first_us = iif(` + isGone + `, excluded.first_us, first_us),
		lease_end_us = iif(` + isGone + ` OR ` + isFree + ` OR (NOT finished AND owner = excluded.owner), excluded.lease_end_us, lease_end_us),
		end_us = iif(` + isGone + `, excluded.end_us, end_us),
		answer = iif(` + isGone + `, x'', answer),
		kept = iif(` + isGone + `, 0, kept),
		finished = iif(` + isGone + `, 0, finished)
		RETURNING iif(NOT finished AND owner = :owner, attempts, 0) AS attempt, deliveries, :now - first_us AS age_us`

	waitMessage = `SELECT finished, answer, lease_end_us - :now AS left_us FROM zhongkong_messages WHERE name = :name`

	takeOver = `UPDATE zhongkong_messages SET owner = :owner, attempts = attempts + 1, lease_end_us = :lease_end
		WHERE name = :name AND ` + isFree + ` RETURNING attempts`

	holdMessage = `UPDATE zhongkong_messages SET lease_end_us = :lease_end
		WHERE name = :name AND owner = :owner AND NOT finished RETURNING kept`

	keepMessage = `UPDATE zhongkong_messages SET kept = 1,
		message = iif(kept_us = 0, :message, message),
		kept_us = iif(kept_us = 0 AND length(:message) > 0, :now, kept_us)
		WHERE name = :name AND NOT finished RETURNING 1`

	finishMessage = `UPDATE zhongkong_messages SET finished = 1, answer = :answer, message = x'', kept_us = 0, end_us = :end
		WHERE name = :name AND owner = :owner AND NOT finished AND (NOT kept OR length(:answer) = 0) RETURNING kept`

	lookMessage = `SELECT owner, finished, kept, answer FROM zhongkong_messages WHERE name = :name`

	firstKept = `SELECT name FROM zhongkong_messages
		WHERE account = :account AND kept_us > 0 AND ` + isFree + ` ORDER BY kept_us, name LIMIT 1`

	takeMessage = `UPDATE zhongkong_messages SET owner = :owner, attempts = attempts + 1, lease_end_us = :lease_end
		WHERE name = (` + firstKept + `) RETURNING name, message, attempts`

	forgetMessages = `DELETE FROM zhongkong_messages WHERE rowid IN
		(SELECT rowid FROM zhongkong_messages WHERE ` + isGone + ` LIMIT :most)`
)

// Claim implements callback.Once.
//
//nolint:revive // the signature is the contract of callback.Once, in built-in types
func (s *Store) Claim(
	ctx context.Context,
	account, key, owner string,
	lease, keep time.Duration,
) (attempt, delivery int, age time.Duration, err error) {
	var row struct {
		Attempt    int   `db:"attempt"`
		Deliveries int   `db:"deliveries"`
		AgeUS      int64 `db:"age_us"`
	}
	_, err = s.get(ctx, true, &row, claimMessage, sql.Named("name", key), sql.Named("account", account), sql.Named("owner", owner),
		after{"lease_end", lease}, after{"end", keep})
	if err != nil {
		return 0, 0, 0, err
	}
	if row.Deliveries == 1 && s.claims.Add(1)%forgetPace == 0 {
		// Tidying up is nobody's call: if it fails, the next time does it.
		_, _ = s.get(ctx, true, nil, forgetMessages, sql.Named("most", forgetMost))
	}
	return row.Attempt, row.Deliveries, max(0, time.Duration(row.AgeUS)*time.Microsecond), nil
}

// Wait implements callback.Once. It looks every quarter of a second.
func (s *Store) Wait(ctx context.Context, key, owner string, lease time.Duration) (attempt int, answer []byte, err error) {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		var row struct {
			Finished bool   `db:"finished"`
			Answer   []byte `db:"answer"`
			LeftUS   int64  `db:"left_us"`
		}
		found, err := s.get(ctx, false, &row, waitMessage, sql.Named("name", key))
		switch {
		case err != nil:
			return 0, nil, err
		case !found:
			return 0, nil, errUnknown
		case row.Finished:
			return 0, row.Answer, nil
		}
		left := time.Duration(row.LeftUS) * time.Microsecond
		if left <= 0 {
			found, err := s.get(ctx, true, &attempt, takeOver, sql.Named("name", key), sql.Named("owner", owner), after{"lease_end", lease})
			if err != nil || found {
				return attempt, nil, err
			}
			continue // somebody else was quicker
		}
		if err := s.sleep(ctx, min(pause/2+rand.N(pause), left)); err != nil {
			return 0, nil, err
		}
	}
}

// Hold implements callback.Once.
func (s *Store) Hold(ctx context.Context, key, owner string, lease time.Duration) (held, kept bool, err error) {
	held, err = s.get(ctx, true, &kept, holdMessage, sql.Named("name", key), sql.Named("owner", owner), after{"lease_end", lease})
	if err == nil && !held {
		var row lookedAt
		row, err = s.look(ctx, key)
		kept = row.Kept
	}
	return held, kept, err
}

// Keep implements callback.Once.
func (s *Store) Keep(ctx context.Context, key string, message []byte) (finished bool, answer []byte, err error) {
	var one int
	kept, err := s.get(ctx, true, &one, keepMessage, sql.Named("name", key), sql.Named("message", append([]byte{}, message...))) // never NULL
	if err != nil || kept {
		return false, nil, err
	}
	row, err := s.look(ctx, key)
	return row.Finished, row.Answer, err
}

// Finish implements callback.Once.
func (s *Store) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	done, err := s.get(ctx, true, &kept, finishMessage, sql.Named("name", key), sql.Named("owner", owner),
		sql.Named("answer", append([]byte{}, answer...)), after{"end", keep})
	if err != nil || done {
		return done, kept, err
	}
	row, err := s.look(ctx, key)
	return err == nil && row.Owner == owner, row.Kept, err
}

// Take implements callback.Once.
//
//nolint:revive // the signature is the contract of callback.Once, in built-in types
func (s *Store) Take(ctx context.Context, account, owner string, lease time.Duration) (key string, message []byte, attempt int, err error) {
	// On most looks there is nothing, and a look needs no writer.
	if found, err := s.get(ctx, false, &key, firstKept, sql.Named("account", account)); err != nil || !found {
		return "", nil, 0, err
	}
	var row struct {
		Name     string `db:"name"`
		Message  []byte `db:"message"`
		Attempts int    `db:"attempts"`
	}
	_, err = s.get(ctx, true, &row, takeMessage, sql.Named("account", account), sql.Named("owner", owner), after{"lease_end", lease})
	return row.Name, row.Message, row.Attempts, err
}

// lookedAt is a message that a statement left alone.
type lookedAt struct {
	Owner    string `db:"owner"`
	Finished bool   `db:"finished"`
	Kept     bool   `db:"kept"`
	Answer   []byte `db:"answer"`
}

func (s *Store) look(ctx context.Context, key string) (lookedAt, error) {
	var row lookedAt
	found, err := s.get(ctx, false, &row, lookMessage, sql.Named("name", key))
	if err == nil && !found {
		err = errUnknown
	}
	return row, err
}

// get runs one statement and reads the row that it returns into into, if there is
// one and into is not nil. It adds the time to args.
func (s *Store) get(ctx context.Context, writes bool, into any, query string, args ...any) (found bool, err error) {
	err = s.call(ctx, func(ctx context.Context, f *file) error {
		if writes {
			if err := s.take(ctx, s.writing); err != nil {
				return isBusy(f.path, err)
			}
			defer func() { <-s.writing }()
		}
		return s.persist(ctx, func() error {
			now := s.time()
			all := []any{sql.Named("now", now.UnixMicro())}
			for _, arg := range args {
				if in, ok := arg.(after); ok {
					arg = sql.Named(in.name, now.Add(in.time).UnixMicro())
				}
				all = append(all, arg)
			}
			// Without ctx's end, as it is a matter of milliseconds.
			ctx := context.WithoutCancel(ctx)
			if into == nil {
				_, err := f.db.ExecContext(ctx, query, all...)
				return err
			}
			err := f.db.GetContext(ctx, into, query, all...)
			found = err == nil
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			return err
		})
	})
	return found && err == nil, err
}

// after is an argument that is a time from now.
type after struct {
	name string
	time time.Duration
}
