package simulator

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
)

// serveMediaUpload carries out POST /cgi-bin/media/upload: a multipart form with
// the file in the field "media".
func serveMediaUpload(c *call) answer {
	kind := c.query.Get("type")
	if !slices.Contains([]string{"image", "voice", "video", "thumb"}, kind) {
		return c.refuse(invalidMediaType)
	}
	m, found := c.readMedia("media")
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
	return m.file()
}

// file is the answer that is a file.
func (m media) file() answer {
	return answer{
		status: http.StatusOK, contentType: m.contentType, body: m.body,
		disposition: mime.FormatMediaType("attachment", map[string]string{"filename": m.name}),
	}
}
