// The panel of the chosen node: what it is, what it is active on, what cutting it does, where it fires, where to go.
const treePanel = (data, panel, { children, words, name, choose }) => {
  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const link = (parent, text, k) => {
    const button = make("button", text, parent);
    button.type = "button";
    button.dataset.k = k;
    button.addEventListener("click", () => choose(k));
    parent.append(" ");
  };
  const WHO = { forget: "target", sibling: "siblings", other: "other knowledge", general: "general text" };
  const points = (value) => (value > 0 ? `−${value}` : value < 0 ? `+${-value}` : "0");

  function merged(k, facts) {
    make("li", `merged at a correlation of ${data.r[k]}; mean correlation inside (coherence) ${data.coherence[k]}`, facts);
    make("li", data.stability[k] === null ? "stability: not measured (merged without positive correlation)"
      : `stability ${data.stability[k].toFixed(2)}: mean best overlap (Jaccard) with a group of a tree of resampled documents`, facts);
  }

  function activity(k, facts) {
    for (const [place, share] of data.place[k])
      if (share >= 10) make("li", `${share} % of its activation on known places is in ${data.places[place]}`, facts);
    for (const level in data.targets) {
      const [forget, sibling, other, general] = data.targets[level][k];
      make("li", `its activation, by ${level}: target ${forget} %, siblings ${sibling} %, other ${other} %, general ${general} %`, facts);
    }
    for (const level in data.marked)
      if (data.marked[level][k]) make("li", `${data.marked[level][k]} of its latents are clamped by subtree/${level}. ${data.effects[level] || ""}`, facts);
  }

  // Measured by the stage evaluate for the nodes that matter most; losses are points of completed test facts.
  function cutting(k, facts) {
    const found = data.cutting[k];
    if (!found) {
      if (data.latent[k] < 0) make("li", "cutting it alone: not measured (only the nodes that matter most are)", facts);
      return;
    }
    make("li", `cutting it alone (its latents set to minus their mean code): ${points(found.all)} points of completed facts over all probes`, facts);
    for (const level in found.targets) {
      const lost = Object.entries(found.targets[level]).map(([who, value]) => `${WHO[who] || who} ${points(value)}`);
      make("li", `… for the ${level}: ${lost.join(", ")}`, facts);
    }
    if (found.worst.length)
      make("li", "… most at " + found.worst.map(([place, value, n]) => `${place} ${points(value)} (${n} probes)`).join("; "), facts);
  }

  function contexts(k) {
    for (const [tokens, strengths] of data.contexts[k]) {
      const quote = make("blockquote", undefined, panel);
      tokens.forEach((token, i) => {
        const mark = make(strengths[i] > "0" ? "mark" : "span", data.text[token], quote);
        if (strengths[i] > "0") mark.style.setProperty("--strength", (0.2 + strengths[i] / 12).toFixed(2));
      });
    }
  }

  const describe = (k) => {
    panel.replaceChildren();
    make("h4", "Node " + data.id[k] + ": " + name(k), panel);
    make("p", words(k).join(" ") || "(no telling words)", panel).className = "node-words";
    const facts = make("ul", undefined, panel);
    if (data.latent[k] < 0) merged(k, facts);
    activity(k, facts);
    cutting(k, facts);
    const hidden = data.size[k] - children[k].reduce((sum, c) => sum + data.size[c], 0);
    if (children[k].length && hidden) make("li", hidden + " of its latents are not on this page", facts);
    contexts(k);
    const near = make("p", "Go to: ", panel);
    if (data.parent[k] >= 0) link(near, "parent", data.parent[k]);
    for (const c of children[k]) link(near, name(c) + (words(c)[0] ? " (" + words(c)[0] + ")" : ""), c);
    const kind = data.latent[k] >= 0 ? "feature " + data.latent[k] : "group " + data.id[k];
    make("code", "uv run python -m pipeline inspect " + kind, panel);
  };
  return { describe, link, make };
};
