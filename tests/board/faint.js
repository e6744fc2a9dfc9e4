// Returns every visible text whose contrast to what lies behind it is too low. Suspended prices and
// other inactive parts count too.
(least) => {
    const read = (text) => {
        const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
        return [r, g, b, a];
    };
    const over = (top, under) =>
        [0, 1, 2].map((at) => top[at] * top[3] + under[at] * (1 - top[3])).concat(1);
    const light = (colour) => {
        const [r, g, b] = colour.map((each) => (each / 255 <= 0.03928 ? each / 3294.6 : ((each / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walk.nextNode(); text; text = walk.nextNode()) {
        const node = text.parentElement, style = getComputedStyle(node);
        const box = node.getBoundingClientRect();
        if (!text.data.trim() || !box.width || !box.height || node.closest("svg, option, noscript, .hidden, .skip")) continue;
        if (node.disabled || style.visibility === "hidden") continue;
        const layers = [];
        let opacity = 1;
        for (let each = node; each; each = each.parentElement) {
            const one = getComputedStyle(each);
            layers.push(read(one.backgroundColor));
            opacity *= Number(one.opacity);
        }
        const ground = layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255, 1]);
        const ink = read(style.color);
        const seen = over([ink[0], ink[1], ink[2], ink[3] * opacity], ground);
        const [high, low] = [light(seen), light(ground)].sort((a, b) => b - a);
        const contrast = (high + 0.05) / (low + 0.05);
        if (contrast < least) found.push(`${contrast.toFixed(2)} ${node.className || node.tagName}: ${text.data.trim()}`);
    }
    return found;
}
