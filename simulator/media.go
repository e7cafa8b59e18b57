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

// readMedia reads the file of an upload: the first part of the form that has the name, of
// any name with "", and a filename.
func (c *call) readMedia(name string) (m media, found bool) {
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
		if name != "" && part.FormName() != name {
			continue
		}
		filename := plainFilename(part.Header.Get("Content-Disposition"))
		if filename == "" && name == "" {
			continue
		}
		if filename == "" {
			return media{}, false
		}
		body, err := io.ReadAll(part)
		if err != nil || len(body) == 0 {
			return media{}, false
		}
		return media{name: path.Base(filename), contentType: http.DetectContentType(body), body: string(body)}, true
	}
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
