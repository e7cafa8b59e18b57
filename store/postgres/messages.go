package postgres

import "github.com/zhongkong-go/zhongkong/store/internal/sqlmessages"

// messages remembers what was handled.
func (e *engine) messages() *sqlmessages.Engine {
	return sqlmessages.New(e.db, e.prefix, sqlmessages.Dialect{
		Now:    now,
		Ignore: `ON CONFLICT (name) DO NOTHING`,
		// The condition once more, for a row that was changed in between.
		Forget: `DELETE FROM zhongkong_messages WHERE GONE AND name IN
			(SELECT name FROM zhongkong_messages WHERE GONE LIMIT 2000)`,
		Between: func(err error) bool { return err != nil && e.swapFailed(err) == nil },
		Explain: e.failed,
	})
}
