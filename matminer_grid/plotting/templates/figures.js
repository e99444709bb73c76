const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const config = { responsive: true, displaylogo: false, displayModeBar: false };
const NONE = "rgba(0,0,0,0)";

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function drawFigures(figures) { // in the colours of the page
  for (const stage of document.querySelectorAll("[data-figure]")) {
    const { data, layout } = figures[stage.dataset.figure];
    const grid = { gridcolor: color("--line"), linecolor: color("--soft"), zerolinecolor: color("--line"), tickcolor: color("--soft") };
    for (const name of Object.keys(layout)) if (/^[xy]axis/.test(name)) Object.assign(layout[name], grid);
    Object.assign(layout, { paper_bgcolor: NONE, plot_bgcolor: NONE, autosize: true, width: undefined, height: undefined });
    layout.font = { ...layout.font, color: color("--ink") };
    await Plotly.newPlot(stage, data, layout, config);
  }
}
