-- SPDX-License-Identifier: Apache-2.0
-- A pandoc filter: a display equation with \tag{n} becomes a line with its number at the right, as MathML has none.

local function numbered(math)
  local tag = math.text:match("\\tag%s*{([^}]*)}")
  if not tag then return nil end
  math.text = math.text:gsub("%s*\\tag%s*{[^}]*}", "")
  return pandoc.Span({
    pandoc.Span({math}, {class = "formula"}),
    pandoc.Span({pandoc.Str("(" .. tag .. ")")}, {class = "number", id = "equation-" .. tag}),
  }, {class = "equation"})
end

function Math(math)
  if math.mathtype == "DisplayMath" then return numbered(math) end
end

-- A link to a file of the repository leads nowhere from a PDF: its text stays.
function Link(link)
  if not link.target:match("^https?:") and not link.target:match("^#") then return link.content end
end
