// Writes the pages as the generator wants them: Chinese at the top, English in /en/, the
// pages of the repository's top in /project/. Links follow; what is no page leads to the
// repository. A link to a page that does not exist is left as it is, and fails the build.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, extname, join, posix, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const root = join(here, '../..')
const out = join(here, 'dist/pages')
const repository = 'https://github.com/zhongkong-go/zhongkong/blob/main/'

// where returns the page of the site that a file of the repository becomes, undefined for none.
// A page that exists in one language is in both halves of the site.
function where(file, english) {
  const name = file.replace(/\.zh-CN\.md$/, '.md')
  if (extname(file) !== '.md' || (!file.startsWith('docs/') && file.includes('/'))) return undefined
  const translated = name !== file || [file.replace(/\.md$/, '.zh-CN.md'), `docs/policy/${file.replace(/\.md$/, '.zh-CN.md')}`]
    .some((other) => existsSync(join(root, other)))
  const page = name.startsWith('docs/') && !name.startsWith('docs/policy/')
    ? name.slice('docs/'.length).replace(/(^|\/)README\.md$/, '$1index.md')
    : 'project/' + posix.basename(name)
  return (translated ? name === file : english) ? 'en/' + page : page
}

function link(from, to, target) {
  const [path, fragment] = target.split('#')
  if (path === '' || /^[a-z]+:/.test(path)) return target
  const file = posix.normalize(posix.join(posix.dirname(from), path))
  const at = fragment ? '#' + fragment : ''
  const page = where(file, to.startsWith('en/'))
  if (page && existsSync(join(root, file))) return posix.relative(posix.dirname(to), page) + at
  if (/\.(png|svg)$/.test(file)) return '/' + file.slice('docs/'.length)
  return repository + file + at
}

function copy(file) {
  for (const to of new Set([where(file, false), where(file, true)])) {
    if (!to) continue
    const text = readFileSync(join(root, file), 'utf8')
      .replace(/(\]\()([^)\s]+)(\))/g, (_, open, target, close) => open + link(file, to, target) + close)
      .replace(/((?:href|src|srcset)=")([^"]+)(")/g, (_, open, target, close) => open + link(file, to, target) + close)
    mkdirSync(dirname(join(out, to)), { recursive: true })
    writeFileSync(join(out, to), text)
  }
}

function walk(folder) {
  for (const name of readdirSync(join(root, folder)).sort()) {
    const file = posix.join(folder, name)
    if (statSync(join(root, file)).isDirectory()) walk(file)
    else copy(file)
  }
}

rmSync(out, { recursive: true, force: true })
walk('docs')
for (const name of readdirSync(root)) if (extname(name) === '.md') copy(name)
cpSync(join(root, 'docs/images'), join(out, 'public/images'), { recursive: true })
console.log('pages in', relative(process.cwd(), out) || '.')
