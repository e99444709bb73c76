"use strict";
// Sorts tables by their headers and draws the figures from the data embedded in the page. No network, no library but Plotly.
(() => {
  const MATERIAL = "https://next-gen.materialsproject.org/materials/";
  const FONT = { family: "system-ui, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif", size: 13, color: "#1c2430" };
  const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#5b6675"];
  const DASHES = ["solid", "dash", "dot", "dashdot"];
  const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x"];
  const CIVIDIS = [[0, "#fee838"], [0.25, "#bcae6c"], [0.5, "#7c7b78"], [0.75, "#414d6b"], [1, "#00224e"]];
  const CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  const data = JSON.parse(document.getElementById("data").textContent);

  const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const axis = (title, more = {}) => ({ title: { text: title }, gridcolor: "#e9ecf0", zerolinecolor: "#dfe3e8", ...more });

  function sortBy(header) {
    const table = header.closest("table");
    const column = header.cellIndex;
    const rising = header.getAttribute("aria-sort") !== "ascending";
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if ((x === "") !== (y === "")) return x === "" ? 1 : -1; // what is missing stays at the end
      const order = header.classList.contains("number") ? Number(x) - Number(y) : x.localeCompare(y);
      return rising ? order : -order;
    });
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
    table.tBodies[0].append(...rows);
  }

  function link(id) {
    const anchor = document.createElement("a");
    anchor.href = MATERIAL + encodeURIComponent(id);
    anchor.target = "_blank";
    anchor.rel = "noopener";
    anchor.textContent = id;
    return anchor;
  }

  function drawParity(element) {
    const parity = data.parity;
    const select = document.getElementById("parity-row");
    const picked = document.getElementById("picked");
    const hint = picked.textContent;
    const list = (row, name) => parity.lists[parity.rows[row][name]];
    const neighbour = (row, i) => list(row, "neighbour_id")?.[i] ?? null;

    function draw() {
      const row = select.value;
      const [truth, predicted] = [list(row, "true"), list(row, "predicted")];
      const [ids, formulas] = [list(row, "material_id"), list(row, "formula")];
      const text = ids.map((id, i) => {
        const by = neighbour(row, i);
        return `<b>${plain(formulas[i])}</b> ${plain(id)}<br>true ${truth[i]} ${parity.unit}, predicted ${predicted[i].toPrecision(4)} ${parity.unit}`
          + (by ? `<br>decided by ${plain(by)}` : "");
      });
      const low = Math.max(Math.min(...truth, ...predicted.filter((x) => x > 0)) * 0.85, 0.1);
      const high = Math.max(...truth, ...predicted) * 1.15;
      const type = document.getElementById("parity-log").checked ? "log" : "linear";
      const range = type === "log" ? [Math.log10(low), Math.log10(high)] : [0, high];
      const hidden = type === "log" ? predicted.filter((value) => value <= 0).length : 0;
      picked.textContent = hint + (hidden ? ` ${hidden} predictions of 0 or below don't show on logarithmic axes.` : "");
      Plotly.react(element, [
        { x: [low, high], y: [low, high], mode: "lines", line: { color: "#1c2430", dash: "dash", width: 1 }, hoverinfo: "skip" },
        { x: truth, y: predicted, text, hoverinfo: "text", mode: "markers", marker: { size: 6, color: COLORS[0], opacity: 0.45 } },
      ], {
        font: FONT, showlegend: false, hovermode: "closest", margin: { l: 64, r: 16, t: 12, b: 56 }, plot_bgcolor: "#fff",
        xaxis: axis(`True (${parity.unit})`, { type, range, dtick: type === "log" ? 1 : undefined, constrain: "domain" }),
        yaxis: axis(`Predicted (${parity.unit})`, { type, range, dtick: type === "log" ? 1 : undefined, scaleanchor: "x", constrain: "domain" }),
      }, CONFIG);
    }

    select.addEventListener("change", draw);
    document.getElementById("parity-log").addEventListener("change", draw);
    draw();
    element.on("plotly_click", (event) => {
      const i = event.points[0].pointIndex;
      const row = select.value;
      const by = neighbour(row, i);
      picked.replaceChildren(
        `${list(row, "formula")[i]}, `, link(list(row, "material_id")[i]),
        `: true ${list(row, "true")[i]} ${parity.unit}, predicted ${list(row, "predicted")[i].toPrecision(4)} ${parity.unit}`,
        ...(by ? ["; decided by its nearest neighbour ", link(by)] : ["; no single neighbour decides here"]),
      );
    });
  }

  function drawCurves(element) {
    const traces = Object.entries(data.learning_curves).map(([name, curve], i) => ({
      x: curve.n, y: curve.MAE, name, mode: "lines+markers",
      marker: { symbol: SYMBOLS[i % SYMBOLS.length], size: 8 },
      line: { color: COLORS[i % COLORS.length], dash: DASHES[Math.floor(i / COLORS.length) % DASHES.length] },
    }));
    Plotly.newPlot(element, traces, {
      font: FONT, margin: { l: 64, r: 16, t: 12, b: 56 }, legend: { orientation: "h", y: -0.2 },
      xaxis: axis("Training crystals", { type: "log", dtick: "D2", tickformat: ",d" }), yaxis: axis(`Test MAE (${data.unit})`, { type: "log" }),
    }, CONFIG);
  }

  function drawMatrix(element) {
    const series = data.series[element.dataset.series];
    const method = element.dataset.method;
    const unit = data.units[method];
    const labels = series.labels;
    const few = labels.length <= 5;
    const values = series.matrices[method];
    const highest = Math.max(...values.flat());
    const digits = highest > 0 ? Math.min(Math.max(2 - Math.floor(Math.log10(highest)), 0), 4) : 0;
    Plotly.newPlot(element, [{
      type: "heatmap", z: values, x: labels, y: labels, colorscale: CIVIDIS, zmin: 0, zmax: highest || 1, xgap: 1, ygap: 1,
      text: values.map((row) => row.map((value) => (few ? (value === 0 ? "0" : value.toFixed(digits)) : ""))), texttemplate: "%{text}",
      hovertemplate: `%{y} and %{x}: %{z:.4f} ${unit}<extra></extra>`,
      colorbar: { thickness: 10, outlinewidth: 0, title: { text: unit }, len: 0.9 },
    }], {
      font: { ...FONT, size: 11 }, title: { text: method.replace(",", " +"), font: { size: 14 }, x: 0.02 },
      margin: { l: 64, r: 8, t: 36, b: 56 },
      xaxis: { type: "category", constrain: "domain", nticks: 12 }, yaxis: { type: "category", autorange: "reversed", scaleanchor: "x", nticks: 12 },
    }, { ...CONFIG, displayModeBar: false });
  }

  function drawRows(element) {
    const series = data.series[element.dataset.series];
    const traces = Object.entries(series.matrices).map(([method, values], i) => {
      const highest = Math.max(...values[0]) || 1;
      return {
        x: series.values, y: values[0].map((value) => value / highest), name: method.replace(",", " +"), mode: "lines+markers",
        marker: { symbol: SYMBOLS[i], size: 6 }, line: { color: COLORS[i] },
      };
    });
    const falling = series.values[0] > series.values.at(-1);
    Plotly.newPlot(element, traces, {
      font: { ...FONT, size: 12 }, margin: { l: 56, r: 8, t: 12, b: 48 }, legend: { orientation: "h", y: -0.2 },
      xaxis: axis(series.parameter, { autorange: falling ? "reversed" : true }),
      yaxis: axis(`Dissimilarity to ${series.labels[0]}, largest = 1`, { rangemode: "tozero" }),
    }, CONFIG);
  }

  const DRAW = { parity: drawParity, curves: drawCurves, matrix: drawMatrix, rows: drawRows };
  for (const header of document.querySelectorAll("th")) header.querySelector("button").addEventListener("click", () => sortBy(header));
  const visible = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      visible.unobserve(entry.target);
      DRAW[entry.target.dataset.draw](entry.target);
    }
  }, { rootMargin: "600px" });
  for (const element of document.querySelectorAll("[data-draw]")) visible.observe(element);
})();
