package simulator

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"time"
)

// serveQRCodeCreate carries out POST /cgi-bin/qrcode/create.
func serveQRCodeCreate(c *call) answer {
	var in struct {
		Seconds int    `json:"expire_seconds"`
		Action  string `json:"action_name"`
		Info    struct {
			Scene struct {
				ID  int64  `json:"scene_id"`
				Str string `json:"scene_str"`
			} `json:"scene"`
		} `json:"action_info"`
	}
	if !c.decode(&in) {
		return c.refuse(dataFormat)
	}
	temporary := in.Action == "QR_SCENE" || in.Action == "QR_STR_SCENE"
	byID := in.Action == "QR_SCENE" || in.Action == "QR_LIMIT_SCENE"
	byStr := in.Action == "QR_STR_SCENE" || in.Action == "QR_LIMIT_STR_SCENE"
	if in.Seconds < 0 || in.Seconds > maxSceneLife || (byID && in.Info.Scene.ID <= 0) || (byStr && in.Info.Scene.Str == "") ||
		(!byID && !byStr) {
		return c.refuse(invalidParameter)
	}
	a := c.account
	a.mu.Lock()
	defer a.mu.Unlock()
	one := scene{ticket: "gQ" + letters(a.random, 86) + "=="}
	url := "http://weixin.qq.com/q/" + letters(a.random, 22)
	lives := ""
	if temporary {
		if in.Seconds == 0 {
			in.Seconds = 60 // WeChat's documentation: 60 s unless stated
		}
		one.end = c.now.Add(time.Duration(in.Seconds) * time.Second)
		lives = fmt.Sprintf(`"expire_seconds":%d,`, in.Seconds)
	}
	c.sim.scenes.add(one)
	return ok(fmt.Sprintf(`{"ticket":"%s",%s"url":"%s"}`, one.ticket, lives, url))
}

// serveShowQRCode carries out GET /cgi-bin/showqrcode, which takes no token and is
// mp.weixin.qq.com's in truth: a picture that belongs to the ticket. No scanner
// reads it.
func serveShowQRCode(c *call) answer {
	ticket := c.query.Get("ticket")
	if !c.sim.scenes.alive(ticket, c.now) {
		return answer{status: http.StatusNotFound}
	}
	return answer{status: http.StatusOK, contentType: "image/jpg", body: picture(ticket)}
}

func picture(of string) string {
	const cells, size = 29, 8
	h := fnv.New64a()
	_, _ = h.Write([]byte(of))
	random := h.Sum64()
	img := image.NewGray(image.Rect(0, 0, cells*size, cells*size))
	for i := range cells * cells {
		shade := color.Gray{Y: 255}
		if mix(random+uint64(i))&1 == 0 {
			shade.Y = 0
		}
		for dot := range size * size {
			img.SetGray(i%cells*size+dot%size, i/cells*size+dot/size, shade)
		}
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, nil) // a buffer never fails
	return b.String()
}
