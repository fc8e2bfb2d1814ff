export function page(assets: { script: string; style: string }): { html: string } {
  return {
    html: `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>ecommus admin</title>
<link rel="stylesheet" href="${assets.style}"><script type="module" src="${assets.script}"></script></head>
<body><main><h1>ecommus admin</h1><form id="login"><input name="email" type="email" required>
<input name="password" type="password" required><button>Log in</button></form></main></body></html>`,
  }
}
