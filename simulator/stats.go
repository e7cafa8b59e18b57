package simulator

// Stats counts what happened to an account since New: how often a program fetched a token,
// and how often it was refused.
type Stats struct {
	Classic  PoolStats   `json:"classic"`
	Stable   PoolStats   `json:"stable"`
	JSAPI    PoolStats   `json:"jsapi"`     // tickets of that type; only Calls that got that far, and Issued
	Card     PoolStats   `json:"wx_card"`   // likewise
	Pushes   int         `json:"pushes"`    // requests sent to the app
	APICalls int         `json:"api_calls"` // calls to other paths that arrived with a token of the account, dead or alive
	Errcodes map[int]int `json:"errcodes"`  // answers by errcode, 0 left out; injected ones are among them
}

// PoolStats counts the use of one token endpoint: a program that shares its token has one
// Issued for each life.
type PoolStats struct {
	Calls   int `json:"calls"`   // fetch calls that arrived, refused and lost ones among them
	Issued  int `json:"issued"`  // new tokens issued to callers; a token answered again is not one
	Forced  int `json:"forced"`  // of Issued, those issued by a forced refresh
	Outside int `json:"outside"` // new tokens issued to others: Supersede and SupersedeStable
}
