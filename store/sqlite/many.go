package sqlite

import (
	"context"

	"github.com/jmoiron/sqlx"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/store"
	"github.com/zhongkong-go/zhongkong/store/internal/columns"
)

// selectRows has a row's name in front of what selectRow has.
const selectRows = `SELECT name, value, seal_key, end_us, life_us, fence, notes,
	top, attempt, lease_end_us, begun_us, unfinished_us, day, fetches
	FROM zhongkong_credentials WHERE name IN (?)`

// LoadMany implements [custody.ManyLoader] with one statement. A row that is
// damaged is left out, as one that is not there.
func (s *Store) LoadMany(ctx context.Context, keys []custody.Key) (map[custody.Key]custody.Record, error) {
	for _, key := range keys {
		if err := key.Check(); err != nil {
			return nil, err
		}
	}
	byName := make(map[string]custody.Key, len(keys))
	names := make([]string, 0, len(keys))
	for _, key := range keys {
		name := key.String()
		byName[name], names = key, append(names, name)
	}
	var records map[custody.Key]custody.Record
	err := s.read(ctx, func(ctx context.Context, db *sqlx.DB) error {
		records = make(map[custody.Key]custody.Record, len(keys)) // this may be another try
		if len(names) == 0 {
			return nil
		}
		return s.rows(ctx, db, names, func(name string, row store.Row) {
			records[byName[name]] = row.Record(s.time())
		})
	})
	if err != nil {
		return nil, err
	}
	return records, nil
}

// rows gives each sound row of names to found.
func (s *Store) rows(ctx context.Context, db *sqlx.DB, names []string, found func(name string, row store.Row)) error {
	query, args, err := sqlx.In(selectRows, names)
	if err != nil {
		return err
	}
	rows, err := db.QueryxContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		values, err := rows.SliceScan()
		if err != nil {
			return err
		}
		name, _ := values[0].(string) // the statement compared it with one
		row, err := columns.Read(values[1:])
		if err != nil {
			s.damaged(name, err)
			continue
		}
		found(name, row)
	}
	return rows.Err()
}
