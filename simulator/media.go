package simulator

import (
	"mime"
	"slices"
	"strings"
	"time"
)

const (
	mediaLife     = 3 * 24 * time.Hour // WeChat: temporary material is kept for 3 days
	maxMedia      = 64                 // of an account; the oldest are forgotten first
	maxMediaBytes = 32 << 20           // likewise
)

// media is a temporary material that was uploaded.
type media struct {
	id, kind, name, contentType string
	body                        string
	end                         time.Time
}

// plainFilename returns the parameter filename of a Content-Disposition, "" without one.
// WeChat does not know filename*, which package mime reads as the same.
func plainFilename(disposition string) string {
	var plain []string
	quoted, from := false, 0
	for i, r := range disposition + ";" {
		switch {
		case r == '"' && (i == 0 || disposition[i-1] != '\\'):
			quoted = !quoted
		case r == ';' && !quoted:
			name, _, _ := strings.Cut(disposition[from:i], "=")
			if !strings.HasSuffix(strings.TrimSpace(name), "*") {
				plain = append(plain, disposition[from:i])
			}
			from = i + 1
		}
	}
	_, parameters, err := mime.ParseMediaType(strings.Join(plain, ";"))
	if err != nil {
		return ""
	}
	return parameters["filename"]
}

// keepMedia adds m and forgets what is too much. The account's mutex is held.
func (a *account) keepMedia(m media) {
	a.media = append(a.media, m)
	total := 0
	for i, kept := range slices.Backward(a.media) {
		total += len(kept.body)
		if total > maxMediaBytes || len(a.media)-i > maxMedia {
			a.media = slices.Delete(a.media, 0, i+1)
			return
		}
	}
}
