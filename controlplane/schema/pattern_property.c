/* The Unicode properties of \p{...}: ECMA-262's names in, PCRE2's out. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "controlplane/schema/pattern.h"

/* ECMA-262's names of general categories, each as PCRE2 has it. */
static const char *
category_of(const char *name)
{
    static const char *const table[][2] = {
        {"C", "C"},
        {"Cased_Letter", "L&"},
        {"Cc", "Cc"},
        {"Cf", "Cf"},
        {"Close_Punctuation", "Pe"},
        {"Cn", "Cn"},
        {"Co", "Co"},
        {"Combining_Mark", "M"},
        {"Connector_Punctuation", "Pc"},
        {"Control", "Cc"},
        {"Cs", "Cs"},
        {"Currency_Symbol", "Sc"},
        {"Dash_Punctuation", "Pd"},
        {"Decimal_Number", "Nd"},
        {"Enclosing_Mark", "Me"},
        {"Final_Punctuation", "Pf"},
        {"Format", "Cf"},
        {"Initial_Punctuation", "Pi"},
        {"L", "L"},
        {"LC", "L&"},
        {"Letter", "L"},
        {"Letter_Number", "Nl"},
        {"Line_Separator", "Zl"},
        {"Ll", "Ll"},
        {"Lm", "Lm"},
        {"Lo", "Lo"},
        {"Lowercase_Letter", "Ll"},
        {"Lt", "Lt"},
        {"Lu", "Lu"},
        {"M", "M"},
        {"Mark", "M"},
        {"Math_Symbol", "Sm"},
        {"Mc", "Mc"},
        {"Me", "Me"},
        {"Mn", "Mn"},
        {"Modifier_Letter", "Lm"},
        {"Modifier_Symbol", "Sk"},
        {"N", "N"},
        {"Nd", "Nd"},
        {"Nl", "Nl"},
        {"No", "No"},
        {"Nonspacing_Mark", "Mn"},
        {"Number", "N"},
        {"Open_Punctuation", "Ps"},
        {"Other", "C"},
        {"Other_Letter", "Lo"},
        {"Other_Number", "No"},
        {"Other_Punctuation", "Po"},
        {"Other_Symbol", "So"},
        {"P", "P"},
        {"Paragraph_Separator", "Zp"},
        {"Pc", "Pc"},
        {"Pd", "Pd"},
        {"Pe", "Pe"},
        {"Pf", "Pf"},
        {"Pi", "Pi"},
        {"Po", "Po"},
        {"Private_Use", "Co"},
        {"Ps", "Ps"},
        {"Punctuation", "P"},
        {"S", "S"},
        {"Sc", "Sc"},
        {"Separator", "Z"},
        {"Sk", "Sk"},
        {"Sm", "Sm"},
        {"So", "So"},
        {"Space_Separator", "Zs"},
        {"Spacing_Mark", "Mc"},
        {"Surrogate", "Cs"},
        {"Symbol", "S"},
        {"Titlecase_Letter", "Lt"},
        {"Unassigned", "Cn"},
        {"Uppercase_Letter", "Lu"},
        {"Z", "Z"},
        {"Zl", "Zl"},
        {"Zp", "Zp"},
        {"Zs", "Zs"},
        {"cntrl", "Cc"},
        {"digit", "Nd"},
        {"punct", "P"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (strcmp(table[i][0], name) == 0) {
            return table[i][1];
        }
    }
    return NULL;
}

static bool
is_binary_property(const char *name)
{
    static const char *const names[] = {
        "ASCII",       "Alphabetic", "Any",        "Emoji",       "Emoji_Presentation",
        "ID_Continue", "ID_Start",   "Lowercase",  "Ideographic", "Extended_Pictographic",
        "Math",        "Uppercase",  "White_Space"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

const char *
cfc_schema_pattern_property(const char *name, const char *value, char *buffer, size_t buffer_size)
{
    if (value == NULL) {
        const char *category = category_of(name);

        return category != NULL ? category : is_binary_property(name) ? name : NULL;
    }
    if (strcmp(name, "General_Category") == 0 || strcmp(name, "gc") == 0) {
        return category_of(value);
    }
    if (strcmp(name, "Script") == 0 || strcmp(name, "sc") == 0) {
        snprintf(buffer, buffer_size, "sc:%s", value);
        return buffer;
    }
    if (strcmp(name, "Script_Extensions") == 0 || strcmp(name, "scx") == 0) {
        snprintf(buffer, buffer_size, "scx:%s", value);
        return buffer;
    }
    return NULL;
}
