"""Probes: short texts inserted at the cursor, or in place of its line, to estimate the fewest errors possible there.

A file with an unfinished line has errors that the rest of the line can remove (a function's head, the end of a call)
or cannot (a macro elsewhere). At 400 places in each of five repositories, the best probe left more errors than the
original line at 14 places and fewer at 13, all of these in files that the grammar cannot parse without errors.
"""

COMMENT_PROBE = b"/*"
# Tried first, also as whole lines; these suffice for 90% of the places that need a probe.
COMMON_PROBES = (b"", *b"{ x( */ /* #endif x(){ if(x){ } fn x(){ x=[ ) x(func(){".split(), b'"""', b"def x():")
COMMON_PROBES = (*COMMON_PROBES, b"case x:", b"x(function(){", b"x=`")
LINE_PROBES = (
    b"",
    *b"{ x(){ x{ if(x){ x( x([ ({ x={ x=[ } }; ) ]) }) }); ); #endif #else x, x x: if(x): else: try:".split(),
)
LINE_PROBES = (*LINE_PROBES, *b'except: */ ` x=` "x" x; x= x=>{ (x)=>{ x? x:[ x:{ x:( x){ @x }, ], ]'.split(), b'"""')
LINE_PROBES = (*LINE_PROBES, b"'''", b'x="""', b"class x{", b"function x(){", b"} else {", b"case x:", b"#if x")
LINE_PROBES = (
    *LINE_PROBES,
    b"x): x {",
    b"export default {",
    b"for x in x:",
    b"let x=match x{",
    b"impl x{",
    b"match x{",
)
LINE_PROBES = (
    *LINE_PROBES,
    b"export function x(",
    b"fn x(",
    b"fn x(){",
    b"def x(",
    b"def x():",
    b"func x(",
    b"pub fn x(",
)
# A line that opens what `})` below closes, a comment, and JSON's containers.
LINE_PROBES = (*LINE_PROBES, *b'x(x=>{ x(x->{ x([]{ x(|x|{ "x":{ "x":['.split())
INLINE_PROBES = (b"", *b'x){ { ; x); (x) ) x( : x { " x(){ ({ x({ x([ (x=>{ x(x=>{'.split())
INLINE_PROBES = (*INLINE_PROBES, b"(function(){", b"x(function(){")
