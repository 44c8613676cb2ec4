/** What all pages look like before they have a look of their own: colours in light and dark, type, and what is unseen. CSS. */
export const look = `:root {
  color-scheme: light dark;
  --paper: #f6f8f6;
  --card: #ffffff;
  --sunken: #f1f5f2;
  --ink: #14201a;
  --soft: #53605a;
  --line: #dde4df;
  --edge: #c3cec8;
  --strong-line: #7f8c85;
  --accent: #0b6b45;
  --accent-hover: #085436;
  --on-accent: #ffffff;
  --tint: #e3f1ea;
  --danger: #a4261d;
  --danger-tint: #fbeceb;
  --code: #10201a;
  --code-ink: #dce8e1;
  --code-soft: #93a69c;
  --code-accent: #7ce0b0;
  --code-line: #26382f;
  --warning: #8a5300;
  --warning-tint: #fdf1da;
  --radius: 12px;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Code", "Roboto Mono", Menlo, Consolas, monospace;
}

@media (prefers-color-scheme: dark) {
  :root {
    --paper: #0d1210;
    --card: #141b18;
    --sunken: #101714;
    --ink: #e7eeea;
    --soft: #9caaa3;
    --line: #25302b;
    --edge: #394640;
    --strong-line: #6d7b74;
    --accent: #5fd3a1;
    --accent-hover: #84e3ba;
    --on-accent: #052517;
    --tint: #17352a;
    --danger: #ff9d92;
    --danger-tint: #351a18;
    --warning: #f0c070;
    --warning-tint: #33270f;
    --code: #090d0b;
    --code-line: #1e2924;
  }
}

* {
  box-sizing: border-box;
}

[hidden] {
  display: none !important;
}

html {
  scroll-padding-top: 4rem;
  -webkit-text-size-adjust: 100%;
  text-size-adjust: 100%;
}

body {
  margin: 0;
  background: var(--paper);
  color: var(--ink);
  font: 1rem/1.55 var(--sans);
}

h1,
h2,
h3,
p,
ul,
dl,
dd,
pre {
  margin: 0;
  padding: 0;
}

ul {
  list-style: none;
}

h1 {
  font-size: clamp(1.875rem, 1.3rem + 2.5vw, 2.875rem);
  font-weight: 680;
  line-height: 1.08;
  letter-spacing: -0.028em;
  white-space: pre-line;
  text-wrap: balance;
}

h2 {
  font-size: 1.375rem;
  font-weight: 650;
  line-height: 1.25;
  letter-spacing: -0.014em;
}

h3 {
  font-size: 0.875rem;
  font-weight: 600;
}

a {
  color: var(--accent);
  text-underline-offset: 0.2em;
}

code,
pre {
  font-family: var(--mono);
  font-variant-ligatures: none;
}

:focus-visible {
  outline: 2px solid var(--accent);
  outline-offset: 2px;
}

main:focus,
h2:focus,
h3:focus {
  outline: none;
}

.unseen {
  position: absolute;
  width: 1px;
  height: 1px;
  overflow: hidden;
  clip-path: inset(50%);
  white-space: nowrap;
}

.skip {
  position: absolute;
  z-index: 2;
  left: 1rem;
  top: -4rem;
  padding: 0.6rem 1rem;
  border-radius: 8px;
  background: var(--accent);
  color: var(--on-accent);
}

.skip:focus {
  top: 1rem;
}

`;
