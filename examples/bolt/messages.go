package bolt

import (
	"bytes"
	"context"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/zhongkong-go/zhongkong/store"
)

// look is how often Wait looks.
const look = 20 * time.Millisecond

// about applies a rule of [store.Claim] to a message that is known. drop says that what was
// kept of it goes.
func (s *Store) about(ctx context.Context, key string, rule func(nowUS int64, c *store.Claim) (keep []byte, drop bool)) error {
	return s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		c, _ := get[store.Claim](tx, messages, name(key))
		if !c.Known(now.UnixMicro()) {
			return store.ErrUnknown
		}
		content, drop := rule(now.UnixMicro(), &c)
		var err error
		switch {
		case drop:
			err = tx.Bucket(inbox).Delete(name(key))
		case content != nil:
			err = tx.Bucket(inbox).Put(name(key), content)
		}
		return errors.Join(err, put(tx, messages, name(key), c))
	})
}

// Claim implements callback.Once.
func (s *Store) Claim(ctx context.Context, account, key, owner string, lease, keep time.Duration) (attempt, delivery int, age time.Duration, err error) { //nolint:revive,lll // the contract of messages, which all stores implement
	if err := store.CheckClaim(account, key, owner, nil); err != nil {
		return 0, 0, 0, err
	}
	var claimed store.Claimed
	err = s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		c, _ := get[store.Claim](tx, messages, name(key))
		var fresh bool
		if claimed, fresh = c.Claim(now.UnixMicro(), account, owner, lease, keep); fresh {
			_ = tx.Bucket(inbox).Delete(name(key))
		}
		return put(tx, messages, name(key), c)
	})
	return claimed.Attempt, claimed.Delivery, claimed.Age, err
}

// Wait implements callback.Once.
func (s *Store) Wait(ctx context.Context, key, owner string, lease time.Duration) (attempt int, answer []byte, err error) {
	if err := store.CheckClaim("", key, owner, nil); err != nil {
		return 0, nil, err
	}
	for {
		var left time.Duration
		err := s.about(ctx, key, func(nowUS int64, c *store.Claim) ([]byte, bool) {
			attempt, answer, left = c.Wait(nowUS, owner, lease)
			return nil, false
		})
		if err != nil || left <= 0 {
			return attempt, answer, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(look, left)):
		}
	}
}

// Hold implements callback.Once.
func (s *Store) Hold(ctx context.Context, key, owner string, lease time.Duration) (held, kept bool, err error) {
	if err := store.CheckClaim("", key, owner, nil); err != nil {
		return false, false, err
	}
	err = s.about(ctx, key, func(nowUS int64, c *store.Claim) ([]byte, bool) {
		held, kept = c.Hold(nowUS, owner, lease)
		return nil, false
	})
	return held, kept, err
}

// Keep implements callback.Once.
func (s *Store) Keep(ctx context.Context, key string, message []byte) (finished bool, answer []byte, err error) {
	if err := store.CheckClaim("", key, "", message); err != nil {
		return false, nil, err
	}
	err = s.about(ctx, key, func(nowUS int64, c *store.Claim) (content []byte, drop bool) {
		var write bool
		if finished, answer, write = c.Keep(nowUS, message); write {
			content = message
		}
		return content, false
	})
	return finished, answer, err
}

// Finish implements callback.Once.
func (s *Store) Finish(ctx context.Context, key, owner string, answer []byte, keep time.Duration) (held, kept bool, err error) {
	if err := store.CheckClaim("", key, owner, answer); err != nil {
		return false, false, err
	}
	err = s.about(ctx, key, func(nowUS int64, c *store.Claim) (content []byte, drop bool) {
		held, kept, drop = c.Finish(nowUS, owner, answer, keep)
		return nil, drop
	})
	return held, kept, err
}

// Take implements callback.Once.
func (s *Store) Take(ctx context.Context, account, owner string, lease time.Duration) (key string, message []byte, attempt int, err error) { //nolint:revive,lll // the contract of messages, which all stores implement
	if err := store.CheckClaim(account, "", owner, nil); err != nil {
		return "", nil, 0, err
	}
	err = s.in(ctx, func(tx *bbolt.Tx, now time.Time) error {
		var first store.Claim
		cursor := tx.Bucket(inbox).Cursor()
		for k, content := cursor.First(); k != nil; k, content = cursor.Next() {
			c, _ := get[store.Claim](tx, messages, k)
			if c.Account == account && c.Waits(now.UnixMicro()) && (key == "" || c.KeptUS < first.KeptUS) {
				key, message, first = string(k[:len(k)-1]), bytes.Clone(content), c
			}
		}
		if key == "" {
			return nil
		}
		attempt = first.Take(now.UnixMicro(), owner, lease)
		return put(tx, messages, name(key), first)
	})
	return key, message, attempt, err
}
