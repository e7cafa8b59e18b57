'use strict';

// Does what it is told on stdin with co-wechat-api and co-wechat: a line
// {"id", "method", "arguments"} is answered by a line {"id", "result"} or
// {"id", "error"}. What is short is measured here, since the way to here and back
// takes longer. It ends with stdin. With "once" as an argument it makes one call.

const readline = require('readline');
const API = require('co-wechat-api');
const wechat = require('co-wechat');

const at = JSON.parse(process.argv[2]);

const now = () => Number(process.hrtime.bigint()); // in nanoseconds

const open = () => {
  const api = new API(at.AppID, at.Secret);
  api.prefix = at.URL + '/cgi-bin/'; // no option of the constructor
  return api;
};

const api = open();

const methods = {
  token: async () => (await api.ensureAccessToken()).accessToken,
  call: async () => { await api.getIp(); },

  // The time of one of so many calls that they take some milliseconds.
  repeat: async () => {
    for (let n = 1; ; n *= 2) {
      const began = now();
      for (let i = 0; i < n; i++) {
        await api.ensureAccessToken();
      }
      const took = now() - began;
      if (took > 2e6) {
        return took / n;
      }
    }
  },

  // How long it takes from the start until so many have the first token.
  cold: async ({callers}) => {
    const began = now();
    const api = open();
    const all = await Promise.allSettled(Array.from({length: callers}, () => api.ensureAccessToken()));
    return {took: now() - began, failed: all.filter((one) => one.status !== 'fulfilled').length};
  },

  // The time of one of so many calls that fail, one after the other.
  failing: async ({calls}) => {
    const began = now();
    for (let i = 0; i < calls; i++) {
      const token = await api.ensureAccessToken().catch(() => null);
      if (token) {
        throw new Error('a token, with a wrong AppSecret');
      }
    }
    return (now() - began) / calls;
  },

  // The time of one of the pushes; answers holds what they were answered. The
  // middleware is made for Koa; ctx is the part of Koa that it uses.
  callbacks: async ({pushes, answer}) => {
    const handle = wechat({token: at.Token, appid: at.AppID, encodingAESKey: at.AESKey})
      .middleware(async () => answer);
    const all = pushes.map(({url, body}) => ({
      method: 'POST', status: 200, request: {body},
      query: Object.fromEntries(new URL(url).searchParams),
    }));
    const began = now();
    for (const ctx of all) {
      await handle(ctx);
    }
    const took = now() - began;
    return {took: took / pushes.length, answers: all.map((ctx) => ({status: ctx.status, body: ctx.body}))};
  },
};

const answerTo = async ({id, method, arguments: given}) => {
  try {
    return {id, result: await methods[method](given || {})};
  } catch (err) {
    return {id, error: (err.code ? err.code + ' ' : '') + err.message};
  }
};

if (process.argv[3] === 'once') {
  api.getIp().then(() => process.exit(0), (err) => {
    console.error(err);
    process.exit(1);
  });
} else {
  readline.createInterface({input: process.stdin}).on('line', async (line) => {
    process.stdout.write(JSON.stringify(await answerTo(JSON.parse(line))) + '\n');
  }).on('close', () => process.exit(0));
}
