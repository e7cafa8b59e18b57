package memory

import (
	"context"

	"github.com/zhongkong-go/zhongkong/custody"
)

// LoadMany implements [custody.ManyLoader].
func (s *Store) LoadMany(ctx context.Context, keys []custody.Key) (map[custody.Key]custody.Record, error) {
	for _, key := range keys {
		if err := key.Check(); err != nil {
			return nil, err
		}
	}
	records := make(map[custody.Key]custody.Record, len(keys))
	err := s.do(ctx, func(now moment) error {
		for _, key := range keys {
			if e := s.entries[key]; e != nil {
				records[key] = answer(e.row.Record(now.time))
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}
