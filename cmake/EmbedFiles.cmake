# Writes OUT, a C++ file that holds the texts of FILES (separated by commas) in the array NAME of
# standalone/embedded_files.h. Run as a script: cmake -DOUT= -DNAME= -DFILES= -P EmbedFiles.cmake
string(REPLACE "," ";" FILES "${FILES}")
set(texts)
set(entries)
set(index 0)
foreach(file IN LISTS FILES)
  file(READ "${file}" hex HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
  get_filename_component(name "${file}" NAME)
  string(APPEND texts "constexpr char kText${index}[] = {${bytes}'\\0'};\n")
  string(APPEND entries "    {\"${name}\", absl::string_view(kText${index}, sizeof(kText${index}) - 1)},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE "${OUT}" "#include \"standalone/embedded_files.h\"\n\nnamespace ashlar::standalone {\nnamespace {\n${texts}
const EmbeddedFile kFiles[] = {\n${entries}};\n}  // namespace\n
const absl::Span<const EmbeddedFile> ${NAME}(kFiles);\n}  // namespace ashlar::standalone\n")
