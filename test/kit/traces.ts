/** How `marker` shows in `text`: plain in any letter case, base64 at each alignment, base64url, hex, percent; empty is what every test wants. */
export function tracesOf(text: string, marker: string): readonly string[] {
  const bytes = Buffer.from(marker);
  const hex = bytes.toString('hex');
  const found = [
    ...(text.toLowerCase().includes(marker.toLowerCase()) ? ['plain'] : []),
    ...(text.toLowerCase().includes(hex) ? ['hex'] : []),
    ...(text.toLowerCase().includes(hex.replace(/../g, '%$&')) ? ['percent'] : []),
  ];
  for (const shift of [0, 1, 2]) {
    const code = Buffer.concat([Buffer.alloc(shift), bytes, Buffer.alloc(3)]).toString('base64');
    // The characters that the marker alone decides.
    const own = code.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + bytes.length) * 8) / 6));
    if (text.includes(own) || text.includes(own.replaceAll('+', '-').replaceAll('/', '_')))
      found.push('base64');
  }
  return found;
}
