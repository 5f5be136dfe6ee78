/* Names the layer under the pointer on figures whose points the page holds; without it the figure is as printed. */
"use strict";

(() => {
  function explore(figure, points, reach) {
    const image = figure.querySelector("img");
    if (!image) return;
    const tip = document.createElement("div");
    const dot = document.createElement("div");
    tip.className = "hover-tip";
    dot.className = "hover-dot";
    for (const node of [tip, dot]) {
      node.hidden = true;
      node.setAttribute("aria-hidden", "true");
      document.body.append(node);
    }
    const hide = () => { tip.hidden = dot.hidden = true; };

    image.addEventListener("pointermove", (event) => {
      const box = image.getBoundingClientRect();
      let nearest = null;
      let least = reach ** 2;
      for (const [x, y, text] of points) {
        const [left, top] = [box.left + x * box.width, box.top + y * box.height];
        const away = (left - event.clientX) ** 2 + (top - event.clientY) ** 2;
        if (away < least) [nearest, least] = [{ left, top, text }, away];
      }
      if (!nearest) return hide();
      tip.textContent = nearest.text;
      tip.hidden = dot.hidden = false;
      dot.style.left = `${nearest.left + window.scrollX}px`;
      dot.style.top = `${nearest.top + window.scrollY}px`;
      const most = document.documentElement.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${Math.max(8, Math.min(nearest.left + 12, most)) + window.scrollX}px`;
      tip.style.top = `${nearest.top + 14 + window.scrollY}px`;
      return undefined;
    });
    image.addEventListener("pointerleave", hide);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  }

  const start = () => {
    for (const script of document.querySelectorAll("script.hover-points")) {
      const figure = document.getElementById(script.dataset.figure);
      if (figure) explore(figure, JSON.parse(script.textContent), Number(script.dataset.reach));
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
