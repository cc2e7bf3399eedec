// Draws every chart of the page from the spec beside it. Expressions are interpreted, never compiled, so the page's
// policy needs no eval; colours are the style sheet's, so a chart follows it into the dark.
"use strict";
(function () {
  function draw(figure) {
    const view = figure.querySelector(".chart-view");
    const source = figure.querySelector("script[type='application/json']");
    if (!view || !source || view.dataset.drawn) return;
    view.dataset.drawn = "yes";
    const compiled = vegaLite.compile(JSON.parse(source.textContent)).spec;
    const runtime = vega.parse(compiled, null, { ast: true });
    const drawn = new vega.View(runtime, {
      expr: vega.expressionInterpreter,
      renderer: "svg",
      container: view,
      hover: true,
      logLevel: vega.Error, // a layer without rows yet is no fault
      loader: { load: () => Promise.reject(new Error("charts load nothing")), sanitize: () => Promise.reject(new Error("no links in charts")) },
    });
    drawn.runAsync().then(
      () => { figure.dataset.state = "drawn"; },
      (error) => { figure.dataset.state = "failed"; console.error(error); },
    );
  }

  function drawAll() {
    document.querySelectorAll("figure.chart").forEach(draw);
  }

  document.addEventListener("DOMContentLoaded", drawAll);
  document.addEventListener("htmx:load", drawAll);
})();
