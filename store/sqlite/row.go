package sqlite

const (
	selectRow = `SELECT value, seal_key, end_us, life_us, fence, notes,
		top, attempt, lease_end_us, begun_us, unfinished_us, day, fetches
		FROM zhongkong_credentials WHERE name = ?`

	replaceRow = `INSERT INTO zhongkong_credentials (name, value, seal_key, end_us, life_us, fence, notes,
		top, attempt, lease_end_us, begun_us, unfinished_us, day, fetches)
		VALUES (:name, :value, :seal_key, :end_us, :life_us, :fence, :notes,
		:top, :attempt, :lease_end_us, :begun_us, :unfinished_us, :day, :fetches)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value, seal_key = excluded.seal_key,
		end_us = excluded.end_us, life_us = excluded.life_us, fence = excluded.fence, notes = excluded.notes,
		top = excluded.top, attempt = excluded.attempt, lease_end_us = excluded.lease_end_us,
		begun_us = excluded.begun_us, unfinished_us = excluded.unfinished_us,
		day = excluded.day, fetches = excluded.fetches`
)
