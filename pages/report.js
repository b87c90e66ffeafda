// The curves of a report. plotly.js stands in the page compressed; it is unpacked before anything is drawn.
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const library = document.createElement("script");
  library.textContent = await new Response(stream).text();
  document.head.append(library);

  // Okabe and Ito's colours, which colour-blind readers can tell apart, and a marker with each.
  const colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7f7f7f", "#8C6D31"];
  const markers = ["circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "x", "star"];
  const dashes = ["solid", "dash", "dot"];
  const style = (n) => ({
    mode: "lines+markers",
    line: { color: colors[n % 8], width: 2, dash: dashes[Math.floor(n / 8) % 3] },
    marker: { color: colors[n % 8], size: 8, symbol: markers[n % 8] },
  });
  const state = { metric: data.metrics[0], axis: "log", time: "encode" };
  const format = (value, digits) => (value === null ? "–" : value.toFixed(digits));
  const hover = (curve) => curve.points.map((point) => {
    const lines = ["<b>" + curve.label + "</b>" + (point.quality ? " at " + point.quality : "")];
    lines.push(format(point.bpp, 4) + " bpp");
    for (const metric of data.metrics) {
      const value = point.values[metric.key];
      const shown = format(value === null || !metric.percent ? value : 100 * value, metric.digits) + (metric.percent ? " %" : "");
      lines.push(metric.name + " " + shown);
    }
    lines.push("encode " + format(point.encode, 1) + " ms, decode " + format(point.decode, 1) + " ms");
    return lines.join("<br>");
  });
  const layout = (extra) => {
    const css = getComputedStyle(document.body);
    const ink = css.getPropertyValue("--ink"), rule = css.getPropertyValue("--rule"), soft = css.getPropertyValue("--soft");
    const narrow = innerWidth < 700;
    const axis = { gridcolor: rule, linecolor: rule, zeroline: false, tickcolor: rule, color: soft, automargin: true };
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, family: css.fontFamily, size: 13 },
      margin: { l: 60, r: 16, t: 12, b: 48 }, height: narrow ? 460 + 20 * data.curves.length : 560, uirevision: "kept",
      hovermode: "closest",
      hoverlabel: { bgcolor: css.getPropertyValue("--card"), bordercolor: rule, font: { color: ink }, align: "left", namelength: 0 },
      legend: narrow ? { orientation: "h", y: -0.18, yanchor: "top" } : { bgcolor: "rgba(0,0,0,0)" },
      xaxis: { ...axis, ...extra.xaxis }, yaxis: { ...axis, ...extra.yaxis }, shapes: extra.shapes ?? [],
    };
  };
  const config = { responsive: true, displaylogo: false, displayModeBar: false };

  const logarithmic = (values, ticks) => ({
    type: "log", tickvals: ticks, ticktext: ticks.map((tick) => String(+tick.toPrecision(3))),
    range: [Math.log10(Math.min(...values)) - 0.08, Math.log10(Math.max(...values)) + 0.08],
  });
  const octaves = (values) => logarithmic(values, Array.from({ length: 18 }, (_, n) => 2 ** (n - 11)));
  const decades = (values) => logarithmic(values, Array.from({ length: 27 }, (_, n) => [1, 2, 5][n % 3] * 10 ** (Math.floor(n / 3) - 3)));

  const drawCurves = () => {
    const traces = data.curves.map((curve, n) => ({
      ...style(n), name: curve.label, uid: "rd" + n, legendgroup: curve.label, x: curve.points.map((p) => p.bpp),
      y: curve.points.map((p) => p.shown[state.metric.key]), text: hover(curve), hovertemplate: "%{text}<extra></extra>",
      ...(state.metric.task ? { mode: "markers" } : {}),
    }));
    if (state.metric.task) { // accuracy need not rise with the rate: points as they are, and their envelope as a line
      data.curves.forEach((curve, n) => {
        const line = curve.envelopes[state.metric.key] ?? [];
        traces.push({
          mode: "lines", line: style(n).line, uid: "envelope" + n, legendgroup: curve.label, showlegend: false,
          x: line.map((point) => point[0]), y: line.map((point) => point[1]), hoverinfo: "skip",
        });
      });
    }
    const ceiling = data.ceilings[state.metric.key];
    const shapes = ceiling === undefined ? [] : [
      { type: "line", xref: "paper", x0: 0, x1: 1, y0: ceiling, y1: ceiling, line: { color: "#888", dash: "dot", width: 1.5 } },
    ];
    const rates = data.curves.flatMap((curve) => curve.points.map((p) => p.bpp));
    const xaxis = { type: state.axis, title: { text: "rate (bits a pixel)" } };
    if (state.axis === "log") Object.assign(xaxis, octaves(rates));
    const yaxis = { title: { text: state.metric.axis } };
    return Plotly.react("rd", traces, { ...layout({ xaxis, yaxis, shapes }), uirevision: state.metric.key + state.axis,
      legend: { ...layout({}).legend, uirevision: "kept" } }, config);
  };
  const drawTimes = () => {
    const traces = data.curves.map((curve, n) => ({
      ...style(n), name: curve.label, uid: "time" + n, x: curve.points.map((p) => p.bpp),
      y: curve.points.map((p) => p[state.time] || null), text: hover(curve), hovertemplate: "%{text}<extra></extra>",
    }));
    const points = data.curves.flatMap((curve) => curve.points).filter((point) => point[state.time] > 0);
    const xaxis = { ...octaves(points.map((p) => p.bpp)), title: { text: "rate (bits a pixel)" } };
    const yaxis = { ...decades(points.map((p) => p[state.time])), title: { text: state.time + " (ms)" } };
    return Plotly.react("times", traces, layout({ xaxis, yaxis }), config);
  };
  const press = (group, chosen) => {
    for (const button of group) button.setAttribute("aria-pressed", button === chosen);
  };
  const metrics = document.getElementById("metrics");
  for (const metric of data.metrics) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = metric.name;
    button.setAttribute("aria-pressed", metric === state.metric);
    button.addEventListener("click", () => { state.metric = metric; press(metrics.children, button); drawCurves(); });
    metrics.append(button);
  }
  for (const kind of ["axis", "time"]) {
    const group = document.querySelectorAll("[data-" + kind + "]");
    for (const button of group) {
      button.addEventListener("click", () => {
        state[kind] = button.dataset[kind];
        press(group, button);
        (kind === "axis" ? drawCurves : drawTimes)();
      });
    }
  }
  await Promise.all([drawCurves(), drawTimes()]);
  document.documentElement.addEventListener("themechange", () => { drawCurves(); drawTimes(); });
  document.body.dataset.drawn = "yes";
})();

// Holding a crop shows the original in its place.
for (const row of document.querySelectorAll(".crops")) {
  const original = row.querySelector("[data-original=True] img");
  for (const button of row.querySelectorAll("button")) {
    const image = button.querySelector("img");
    const own = image.src;
    const hold = () => { image.src = original.src; };
    const release = () => { image.src = own; };
    button.addEventListener("pointerdown", hold);
    for (const event of ["pointerup", "pointerleave", "pointercancel", "blur"]) button.addEventListener(event, release);
    button.addEventListener("keydown", (event) => { if (event.key === " ") { event.preventDefault(); hold(); } });
    button.addEventListener("keyup", release);
  }
}
