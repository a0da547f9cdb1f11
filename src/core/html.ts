/** Text as it stands in HTML, between tags and in quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A page on its own: no script from elsewhere, no request, readable in light and dark. `title` is escaped, `body` is HTML. */
export function htmlPage(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${body}
</body>
</html>
`;
}

const style = `
:root { color-scheme: light dark; --line: #8888; --soft: #8882; --good: #2a8a4a; --bad: #d03030; --odd: #c08000; --mark: #3070d0; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 1.5rem; max-width: 120rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
pre, code, td, text { font-family: ui-monospace, monospace; font-size: 12px; }
pre { white-space: pre-wrap; background: var(--soft); padding: .6rem .8rem; border-radius: 4px; }
table { border-collapse: collapse; } td, th { text-align: left; padding: .15rem .8rem .15rem 0; border-bottom: 1px solid var(--soft); vertical-align: top; }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: 4px; }
svg text { fill: currentColor; } .lane { stroke: var(--line); } .life { fill: var(--soft); }
.ok { fill: var(--good); } .failed { fill: var(--line); } .unknown { fill: var(--odd); } .bad { fill: var(--bad); stroke: var(--bad); }
.fault { stroke: var(--bad); } .pause { fill: var(--odd); opacity: .4; } .message { stroke: var(--mark); opacity: .5; } .mark { stroke: var(--bad); stroke-width: 2; fill: none; }
.edge { stroke: var(--mark); fill: none; } .node { fill: var(--soft); stroke: var(--line); }
`;
