package columns

import "github.com/zhongkong-go/zhongkong/store"

// Message is what is known of a message that somebody claimed, but for its content. The
// table has its columns in every dialect; Redis has it as JSON.
type Message = store.Claim
