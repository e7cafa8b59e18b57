package platform_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"testing"

	"github.com/zhongkong-go/zhongkong/custody"
	"github.com/zhongkong-go/zhongkong/platform"
)

// Tencent's published sample of encrypted user data.
const (
	sampleAppID = "wx4f4bc4dec97d474b"
	sampleKey   = "tiihtNczf5v6AKRyjwEUhQ=="
	sampleIV    = "r7BXXKkLb8qrSNn05n0qiA=="
	sampleData  = "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNPdbB+3hVbJSRgv+4lGOETKUQz6OYStslQ" +
		"142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyxVLW1zAo6/1Xx1COxFvrc2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn" +
		"/Hz7saL8xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR" +
		"2SiRS7MNACwTyrGvt9ts8p12PKFdlqYTopNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/Xcxxm" +
		"K01EpqOyuxINew=="
)

func TestDecryptUserData(t *testing.T) {
	plain, err := platform.DecryptUserData(sampleAppID, custody.NewSecret(sampleKey), sampleData, sampleIV)
	var user struct {
		OpenID    string `json:"openId"`
		Watermark struct {
			Timestamp int64 `json:"timestamp"`
		} `json:"watermark"`
	}
	if err == nil {
		err = json.Unmarshal(plain, &user)
	}
	if err != nil || user.OpenID != "oGZUI0egBJY1zhBYw2KhdUfwVJJE" || user.Watermark.Timestamp != 1477314187 {
		t.Errorf("%s, %v", plain, err)
	}
	if _, err := platform.DecryptUserData("wx0123456789abcdef", custody.NewSecret(sampleKey), sampleData, sampleIV); !errors.Is(err, platform.ErrForeignUserData) {
		t.Errorf("another account's: %v", err)
	}
	for name, row := range map[string][3]string{
		"another key": {"HyVFkGl5F5OQWJZZaNzBBg==", sampleData, sampleIV},
		"no data":     {sampleKey, "", sampleIV},
		"half data":   {sampleKey, sampleData[:len(sampleData)-8], sampleIV},
		"no base64":   {sampleKey, "%", sampleIV},
		"no iv":       {sampleKey, sampleData, ""},
		"short iv":    {sampleKey, sampleData, "r7BX"},
	} {
		if _, err := platform.DecryptUserData(sampleAppID, custody.NewSecret(row[0]), row[1], row[2]); !errors.Is(err, platform.ErrUserData) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := platform.DecryptUserData(sampleAppID, custody.NewSecret("abc"), sampleData, sampleIV); err == nil {
		t.Error("three bytes are a key")
	}
	raw, err := base64.StdEncoding.DecodeString(sampleData)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-20] ^= 1 // garbles the last block but one, and the padding behind it
	if _, err := platform.DecryptUserData(sampleAppID, custody.NewSecret(sampleKey), base64.StdEncoding.EncodeToString(raw), sampleIV); err == nil {
		t.Error("one bit changed, and nothing noticed")
	}
}

func TestVerifyUserData(t *testing.T) {
	const (
		raw = `{"nickName":"Band","gender":1,"language":"zh_CN","city":"Guangzhou","province":"Guangdong","country":"CN",` +
			`"avatarUrl":"http://wx.qlogo.cn/mmopen/vi_32/1vZvI39NWFQ9XM4LtQpFrQJ1xlgZxx3w7bQxKARol6503Iuswjjn6nIGBiaycAjAtpujxyzYsrztuuICqIM5ibXQ/0"}`
		signature = "75e81ceda165f4ffa64f4068af58c64b8f54b88c"
	)
	key := custody.NewSecret("HyVFkGl5F5OQWJZZaNzBBg==")
	if err := platform.VerifyUserData(key, raw, signature); err != nil {
		t.Error(err)
	}
	if platform.VerifyUserData(key, raw+" ", signature) == nil || platform.VerifyUserData(custody.Secret{}, raw, signature) == nil {
		t.Error("a forgery is verified")
	}
	if got := platform.SessionSignature(key); got != "252b75c92698025afe925b29cca5517fdf9ee67aae072cf3225ebf3a53783058" {
		t.Errorf("the signature of a call is %s", got)
	}
}
