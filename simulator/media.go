package simulator

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"path"
	"slices"
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

// serveMediaUpload carries out POST /cgi-bin/media/upload: a multipart form with
// the file in the field "media".
func serveMediaUpload(c *call) answer {
	kind := c.query.Get("type")
	if !slices.Contains([]string{"image", "voice", "video", "thumb"}, kind) {
		return c.refuse(invalidMediaType)
	}
	m, found := c.readMedia()
	if !found {
		return c.refuse(mediaDataMissing)
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	m.id, m.kind, m.end = letters(a.random, 64), kind, c.now.Add(mediaLife)
	a.keepMedia(m)
	name := "media_id"
	if kind == "thumb" {
		name = "thumb_media_id"
	}
	return ok(fmt.Sprintf(`{"type":"%s","%s":"%s","created_at":%d}`, kind, name, m.id, c.sim.wall().Unix()))
}

func (c *call) readMedia() (m media, found bool) {
	mediaType, parameters, err := mime.ParseMediaType(c.req.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/form-data" {
		return media{}, false
	}
	form := multipart.NewReader(bytes.NewReader(c.body), parameters["boundary"])
	for {
		part, err := form.NextPart()
		if err != nil {
			return media{}, false
		}
		if part.FormName() != "media" {
			continue
		}
		body, err := io.ReadAll(part)
		if err != nil || len(body) == 0 {
			return media{}, false
		}
		return media{name: path.Base(part.FileName()), contentType: http.DetectContentType(body), body: string(body)}, true
	}
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

// serveMediaGet carries out GET /cgi-bin/media/get: the file itself, as it was
// uploaded; of a video the address.
func serveMediaGet(c *call) answer {
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	id := c.query.Get("media_id")
	i := slices.IndexFunc(a.media, func(m media) bool { return m.id == id && c.now.Before(m.end) })
	if i < 0 {
		return c.refuse(invalidMediaID)
	}
	m := a.media[i]
	if m.kind == "video" {
		return ok(`{"video_url":"http://203.0.113.40/` + m.id + `.mp4"}`)
	}
	return answer{
		status: http.StatusOK, contentType: m.contentType, body: m.body,
		disposition: mime.FormatMediaType("attachment", map[string]string{"filename": m.name}),
	}
}
