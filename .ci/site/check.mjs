// Follows every link of the built site to a page, a picture or a heading of it, and searches it
// as a reader does.
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import MiniSearch from 'minisearch'
import { words } from './words.mjs'

const site = join(fileURLToPath(new URL('.', import.meta.url)), 'dist/site')
const pages = readdirSync(site, { recursive: true }).filter((name) => name.endsWith('.html') && name !== '404.html')
const read = new Map(pages.map((name) => ['/' + name.replaceAll('\\', '/'), readFileSync(join(site, name), 'utf8')]))
const ids = new Map([...read].map(([name, html]) => [name, new Set(Array.from(html.matchAll(/\sid="([^"]+)"/g), ([, id]) => decodeURI(id)))]))

let links = 0
const dead = []
for (const [name, html] of read) {
  for (const [, address] of html.matchAll(/\s(?:href|src)="([^"]+)"/g)) {
    const url = new URL(address.replaceAll('&amp;', '&'), 'http://site' + name)
    if (url.host !== 'site') continue
    links++
    const path = decodeURI(url.pathname)
    const page = [path, path + '.html', join(path, 'index.html')].find((at) => read.has(at))
    const file = page ?? path
    const exists = page || (existsSync(join(site, file)) && statSync(join(site, file)).isFile())
    if (!exists || (url.hash && page && !ids.get(page).has(decodeURIComponent(url.hash.slice(1))))) dead.push(`${name}: ${address}`)
  }
}
if (dead.length > 0 || pages.length < 50 || links < 1000) {
  console.error(`${pages.length} pages, ${links} links, of which these are dead:\n${[...new Set(dead)].join('\n')}`)
  process.exit(1)
}

// What readers look for, and a page that has to be among the first five it finds.
const looks = {
  root: { 模板消息: '/jobs/template', 带参数的二维码: '/jobs/qrcode', '白名单 40164': '/errors', 固定出口: '/jobs/fixed-ip', 小程序登录: '/jobs/mini-login' },
  en: { 'template message': '/en/jobs/template', downgrade: '/en/jobs/upgrade', 'fixed IP': '/en/jobs/fixed-ip' },
}
const chunks = join(site, 'assets/chunks')
for (const [language, wanted] of Object.entries(looks)) {
  const name = readdirSync(chunks).find((file) => file.startsWith('@localSearchIndex' + language + '.'))
  const { default: index } = await import(pathToFileURL(join(chunks, name)))
  const search = MiniSearch.loadJSON(index, { fields: ['title', 'titles', 'text'], storeFields: ['title', 'titles'], tokenize: words })
  for (const [query, page] of Object.entries(wanted)) {
    const found = search.search(query, { fuzzy: 0.2, prefix: true, boost: { title: 4, text: 2, titles: 1 } }).slice(0, 5).map(({ id }) => id)
    if (!found.some((id) => id.split('#')[0].replace(/\.html$/, '') === page)) {
      console.error(`a search for ${query} finds ${found.join(', ')}, not ${page}`)
      process.exitCode = 1
    }
  }
}
console.log(`${pages.length} pages, ${links} links, none dead`)
