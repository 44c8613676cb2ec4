/** The look of the policy and the status page. CSS; colours and type are those of all pages. */
export const style = `
.top { display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem 1.75rem; max-width: 66rem; margin: 0 auto; padding: 1rem 1.25rem; }
.brand { display: inline-flex; align-items: center; gap: 0.6rem; color: var(--ink); font-size: 1.1875rem; font-weight: 680; letter-spacing: -0.02em; text-decoration: none; }
.brand svg { width: 1.75rem; height: 1.75rem; fill: none; stroke: var(--accent); stroke-width: 3.8; stroke-linecap: round; stroke-linejoin: round; }
.top ul { display: flex; gap: 1.25rem; }
.top nav a { color: var(--soft); text-decoration: none; font-size: 0.9375rem; padding: 0.35rem 0; }
.top nav a:hover { color: var(--ink); }
.top nav [aria-current] { color: var(--ink); font-weight: 600; box-shadow: 0 2px 0 var(--accent); }
.languages { display: flex; margin-left: auto; gap: 0.15rem; font-size: 0.8125rem; font-weight: 600; }
.languages a { padding: 0.3rem 0.55rem; border-radius: 6px; color: var(--soft); text-decoration: none; }
.languages a:hover { color: var(--ink); }
.languages [aria-current] { background: var(--tint); color: var(--accent); }
main { display: grid; gap: 3.5rem; max-width: 66rem; margin: 0 auto; padding: 1.5rem 1.25rem 3rem; }
main, section, .hero, .tile, .promise, .why { grid-template-columns: minmax(0, 1fr); }
section, .hero { display: grid; gap: 1rem; }
.lede { max-width: 64ch; color: var(--soft); text-wrap: pretty; }
.verdict { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0.35rem 0.9rem; padding: 1rem 1.25rem; border-radius: var(--radius); border-left: 5px solid; }
.verdict strong { font-size: 1.125rem; font-weight: 650; letter-spacing: -0.01em; }
.verdict span { color: var(--soft); font-size: 0.875rem; }
.verdict.good { border-color: var(--accent); background: var(--tint); }
.verdict.bad { border-color: var(--danger); background: var(--danger-tint); }
.badge { display: inline-flex; align-items: center; gap: 0.4em; padding: 0.12rem 0.6rem; border-radius: 99px; font-size: 0.8125rem; font-weight: 600; white-space: nowrap; }
.badge::before { content: ""; width: 0.5em; height: 0.5em; border-radius: 50%; background: currentColor; }
.badge.good { background: var(--tint); color: var(--accent); }
.badge.bad { background: var(--danger-tint); color: var(--danger); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(19rem, 100%), 1fr)); gap: 1rem; }
.tile { display: grid; align-content: start; gap: 0.3rem; padding: 1.1rem 1.25rem; border: 1px solid var(--line); border-radius: var(--radius); background: var(--card); }
.tile dt { color: var(--soft); font-size: 0.8125rem; font-weight: 600; }
.tile .value { font-size: 1.25rem; font-weight: 650; letter-spacing: -0.015em; }
.tile .value.bad { color: var(--danger); }
.tile .small { color: var(--soft); font-size: 0.8125rem; line-height: 1.45; }
.tile code { font-size: 0.75rem; overflow-wrap: anywhere; }
.pairs { display: grid; grid-template-columns: auto minmax(0, 1fr); gap: 0.2rem 1rem; font-size: 0.875rem; }
.pairs span { color: var(--soft); }
table { width: 100%; border-collapse: collapse; font-size: 0.9375rem; }
.card { border: 1px solid var(--line); border-radius: var(--radius); background: var(--card); }
th { text-align: left; color: var(--soft); font-size: 0.8125rem; font-weight: 600; }
th, td { padding: 0.7rem 1.25rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tbody tr:last-child td, tbody tr:last-child th { border-bottom: 0; }
tbody th { color: var(--ink); font-size: 0.9375rem; font-weight: 500; }
td .small { display: block; color: var(--soft); font-size: 0.8125rem; }
th .small { display: block; color: var(--soft); font-size: 0.8125rem; font-weight: 400; }
td.state { text-align: right; }
td.bad { color: var(--danger); font-weight: 600; }
meter { display: block; width: 100%; max-width: 9rem; height: 0.45rem; margin-top: 0.4rem; border: 0; border-radius: 99px; background: var(--line); overflow: hidden; }
meter::-webkit-meter-bar { border: 0; border-radius: 99px; background: var(--line); height: 0.45rem; }
meter::-webkit-meter-optimum-value { background: var(--accent); border-radius: 99px; }
meter::-webkit-meter-suboptimum-value, meter::-webkit-meter-even-less-good-value { background: var(--danger); border-radius: 99px; }
meter::-moz-meter-bar { background: var(--accent); border-radius: 99px; }
.kinds { display: grid; gap: 0.35rem; font-size: 0.875rem; color: var(--soft); }
.kinds strong { color: var(--ink); font-weight: 600; }
.group { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(27rem, 100%), 1fr)); gap: 0.75rem; margin-top: 1rem; }
.group h3 { grid-column: 1 / -1; }
.promise { display: grid; align-content: start; gap: 0.55rem; padding: 1.1rem 1.25rem; border: 1px solid var(--line); border-radius: var(--radius); background: var(--card); }
.promise.red { border-color: var(--danger); }
.promise:target { outline: 2px solid var(--accent); outline-offset: 3px; }
.promise header { display: flex; flex-wrap: wrap; align-items: center; gap: 0.4rem 0.9rem; }
.promise header a { color: var(--soft); font: 0.8125rem var(--mono); text-decoration: none; }
.promise header a:hover { text-decoration: underline; }
.promise .text { text-wrap: pretty; }
.promise .limit { font-size: 0.9375rem; }
.promise .limit b { font-weight: 600; }
.promise .how { color: var(--soft); font-size: 0.8125rem; }
.promise .how b { color: var(--ink); font-weight: 600; }
.why { display: grid; gap: 0.3rem; padding: 0.65rem 0.9rem; border-radius: 8px; background: var(--danger-tint); color: var(--danger); font-size: 0.875rem; }
pre { padding: 1rem 1.25rem; border-radius: var(--radius); background: var(--code); color: var(--code-ink); font-size: 0.8125rem; line-height: 1.6; white-space: pre-wrap; overflow-wrap: anywhere; }
.links { display: flex; flex-wrap: wrap; gap: 0.4rem 1.5rem; }
footer { max-width: 66rem; margin: 0 auto; padding: 0 1.25rem 3rem; color: var(--soft); font-size: 0.8125rem; }
@media (max-width: 44rem) {
  main { gap: 2.5rem; }
  .top { justify-content: space-between; }
  .top nav { order: 1; width: 100%; }
  .cards, .cards tbody { display: block; }
  .cards thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .cards tr { display: grid; padding: 0.8rem 1.25rem; border-bottom: 1px solid var(--line); }
  .cards tr:last-child { border-bottom: 0; }
  .cards th, .cards td { display: grid; grid-template-columns: 8.5rem 1fr; padding: 0.15rem 0; border: 0; }
  .cards tbody th { display: block; padding-bottom: 0.3rem; font-weight: 600; }
  .cards td::before { content: attr(data-label); grid-row: 1 / span 3; color: var(--soft); font-size: 0.8125rem; }
  .cards td > * { grid-column: 2; }
}
@media print {
  .top nav, .languages { display: none; }
}
`;
