package memory

import (
	"context"

	"github.com/zhongkong-go/zhongkong"
)

var _ zhongkong.ManyLoader = (*Store)(nil)

// LoadMany implements [zhongkong.ManyLoader].
func (s *Store) LoadMany(ctx context.Context, keys []zhongkong.Key) (map[zhongkong.Key]zhongkong.Record, error) {
	records := make(map[zhongkong.Key]zhongkong.Record, len(keys))
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
