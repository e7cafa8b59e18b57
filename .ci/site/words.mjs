// words divides a text for the search: Chinese has no blanks between words. The generator
// copies this function into the pages, so it refers to nothing outside of itself.
export function words(text) {
  const segmenter = new Intl.Segmenter('zh-CN', { granularity: 'word' })
  return Array.from(segmenter.segment(text), ({ segment, isWordLike }) => isWordLike && segment).filter(Boolean)
}
