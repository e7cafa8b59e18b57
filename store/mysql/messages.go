package mysql

import "github.com/zhongkong-go/zhongkong/store/internal/sqlmessages"

// messages remembers what was handled.
func (e *engine) messages() *sqlmessages.Engine {
	return sqlmessages.New(e.db, e.prefix, sqlmessages.Dialect{
		Now:     now,
		From:    `FROM DUAL`,
		Ignore:  `ON DUPLICATE KEY UPDATE name = zhongkong_messages.name`,
		Forget:  `DELETE FROM zhongkong_messages WHERE GONE LIMIT 2000`,
		Between: func(err error) bool { return cameBetween(codeOf(err)) },
		Explain: e.failed,
	})
}
