package browsertest

import (
	"fmt"
	"strings"

	"github.com/chromedp/chromedp/kb"
)

// contrast lists the texts that stand out too little from what is behind them: less
// than 4.5 to 1, or 3 to 1 where they are large (WCAG 2.2, 1.4.3).
const contrast = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const over = (top, below) => { const a = top[3] / 255; return [0, 1, 2].map((i) => top[i] * a + below[i] * (1 - a)).concat(255); };
  const light = (c) => { const [r, g, b] = c.map((v) => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (e) => { const all = []; for (; e; e = e.parentElement) all.push(rgba(getComputedStyle(e).backgroundColor)); return all.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 255]); };
  const found = new Set(); let seen = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, style = getComputedStyle(e);
    if (!walk.currentNode.data.trim() || e.closest(".hidden, option, svg, [disabled]") || !e.checkVisibility({ visibilityProperty: true })) continue;
    const back = behind(e), fore = over(rgba(style.color), back), [a, b] = [light(fore), light(back)];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05), size = parseFloat(style.fontSize);
    seen++;
    if (ratio < (size >= 24 || size >= 18.66 && style.fontWeight >= 700 ? 3 : 4.5)) found.add(ratio.toFixed(2) + " " + e.tagName + "." + e.className + ": " + walk.currentNode.data.trim().slice(0, 40));
  }
  return { Seen: seen, Found: [...found] };
})()`

// Readable checks the contrast of every text that is seen. There have to be at least
// so many, or something else is wrong.
func (t *Tab) Readable(least int) {
	t.tb.Helper()
	var result struct {
		Seen  int
		Found []string
	}
	t.Eval(contrast, &result)
	for _, one := range result.Found {
		t.tb.Errorf("too little contrast: %s", one)
	}
	if result.Seen < least {
		t.tb.Errorf("only %d texts were seen, want %d", result.Seen, least)
	}
}

// nameless lists controls without a name, ids that stand twice, labels of nothing,
// and tables and headings that do not hang together.
const nameless = `(() => {
  const found = [], ids = new Set();
  for (const e of document.querySelectorAll("[id]")) { if (ids.has(e.id)) found.push("twice: #" + e.id); ids.add(e.id); }
  for (const e of document.querySelectorAll("button, a[href], summary")) if (!(e.ariaLabel || e.textContent).trim()) found.push("no name: " + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll("input:not([type=hidden]), select, textarea")) if (!e.labels.length && !e.ariaLabel) found.push("no label: " + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll("progress, meter, [role=img]")) if (!e.ariaLabel && !e.hasAttribute("aria-labelledby")) found.push("no label: " + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll("label[for]")) if (!document.getElementById(e.htmlFor)) found.push("labels nothing: " + e.textContent);
  for (const a of ["aria-labelledby", "aria-describedby"]) for (const e of document.querySelectorAll("[" + a + "]")) for (const id of e.getAttribute(a).split(" ")) if (!document.getElementById(id)) found.push(a + " nothing: " + id);
  for (const e of document.querySelectorAll("[tabindex]")) if (e.tabIndex > 0) found.push("an order of its own: " + e.id);
  for (const e of document.querySelectorAll("img")) if (!e.hasAttribute("alt")) found.push("no alt: " + e.src);
  for (const e of document.querySelectorAll("table")) if (!e.caption && !e.ariaLabel && !e.hasAttribute("aria-labelledby")) found.push("a table without a name: " + e.outerHTML.slice(0, 120));
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  let level = 0;
  for (const e of document.querySelectorAll("h1, h2, h3, h4")) { const now = Number(e.tagName[1]); if (now > level + 1 && level) found.push("a level was left out before: " + e.textContent); level = now; }
  if (!document.documentElement.lang) found.push("no language");
  if (!document.title) found.push("no title");
  return found;
})()`

// Named checks that everything has a name which a screen reader can say.
func (t *Tab) Named() {
	t.tb.Helper()
	var found []string
	t.Eval(nameless, &found)
	for _, one := range found {
		t.tb.Error(one)
	}
}

// Fits checks that nothing has to be scrolled to sideways and that nothing sticks out
// of a part, which is what the selector finds. Elements within except may.
func (t *Tab) Fits(part, except string) {
	t.tb.Helper()
	var found []string
	t.Eval(fmt.Sprintf(`(() => {
  const wide = Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) - innerWidth;
  return (wide > 0 ? ["the page is " + wide + " px wider than the window"] : []).concat([...document.querySelectorAll("body *")].filter((e) => {
    if (!e.checkVisibility() || e.closest(".hidden, .skip, option, svg, %[2]s")) return false;
    const box = e.getBoundingClientRect(), part = (e.closest("%[1]s") || document.body).getBoundingClientRect();
    return box.right > part.right + 1 || box.left < part.left - 1 || box.right > innerWidth || (e.matches(".scroll, pre") && e.scrollWidth > e.clientWidth);
  }).map((e) => "it sticks out of what it is in: " + e.outerHTML.slice(0, 120)));
})()`, part, except), &found)
	for _, one := range found {
		t.tb.Error(one)
	}
}

// Walk presses Tab through the whole page. It returns the places that the focus went
// through, of which where, a JavaScript expression over the element e, gives the
// name, and how many elements had it. Each has to be seen to have it, unless the
// selector names it.
func (t *Tab) Walk(where, unseen string) (places []string, elements int) {
	t.tb.Helper()
	last := ""
	for range 300 {
		t.Press(kb.Tab)
		var at struct {
			Where, HTML string
			Seen        bool
		}
		t.Eval(fmt.Sprintf(`(() => {
  const e = document.activeElement;
  if (e === document.body) return { Where: "end" };
  const s = getComputedStyle(e);
  return { Where: String(%s), HTML: e.outerHTML.slice(0, 120), Seen: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2 || e.matches(%q) };
})()`, where, unseen), &at)
		if at.Where == "end" {
			return places, elements
		}
		if at.Where != last {
			places = append(places, at.Where)
			last = at.Where
		}
		elements++
		if !at.Seen {
			t.tb.Errorf("nobody sees that this has the focus: %s", at.HTML)
		}
	}
	t.tb.Errorf("the focus does not come to an end: %s", strings.Join(places, " "))
	return places, elements
}
